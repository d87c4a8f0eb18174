/** As much of CBOR (RFC 8949) as it takes to write it wrongly on purpose. */

/** Where an item's head and content lie. */
export interface Item {
  major: number;
  start: number;
  end: number;
  /** The number, length or count in its head. */
  value: bigint;
}

export const Major = { UINT: 0, NEGATIVE: 1, BYTES: 2, ARRAY: 4 } as const;

/** An item's head in its shortest form, or in the form of `width` bytes (1, 2, 4 or 8). */
export function head(major: number, value: bigint, width?: number): Buffer {
  if (width === undefined && value < 24n) return Buffer.from([(major << 5) | Number(value)]);
  const bytes = width ?? (value < 0x100n ? 1 : value < 0x1_0000n ? 2 : value < 2n ** 32n ? 4 : 8);
  const result = Buffer.alloc(1 + bytes);
  result[0] = (major << 5) | (24 + Math.log2(bytes));
  for (let i = 0; i < bytes; i++) {
    result[bytes - i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
  return result;
}

/** The items of well-formed CBOR one after the other; an array is its head alone. */
export function items(bytes: Uint8Array): Item[] {
  const found: Item[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const first = view.getUint8(at++);
    const major = first >> 5;
    const info = first & 0x1f;
    let value = BigInt(info);
    if (info >= 24) {
      const width = 1 << (info - 24);
      value = 0n;
      for (let i = 0; i < width; i++) value = (value << 8n) | BigInt(view.getUint8(at++));
    }
    if (major === Major.BYTES) at += Number(value);
    found.push({ major, start, end: at, value });
  }
  return found;
}
