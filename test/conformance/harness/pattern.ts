/** Bytes that tell where they belong: each four-byte word is its own offset. */
export function pattern(size: number, from = 0): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE((from + at) >>> 0, at);
  return bytes;
}
