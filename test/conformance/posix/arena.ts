/**
 * Memory for the arguments of one system call.
 *
 * A ring: every call takes what it needs and is over before the ring comes
 * round, so nothing is freed. One call may use up to half of the ring.
 */
import { allocate } from "../../../src/sys/memory.ts";

/** A name as the kernel sees it: text is UTF-8, anything else goes as bytes. */
export type Path = string | Uint8Array;

const ring = allocate(16 << 20);
let used = 0;

/** A zeroed piece of the ring. */
export interface Space {
  readonly address: number;
  readonly bytes: Buffer;
  readonly view: DataView;
}

/** Takes `size` zeroed bytes, aligned to 4096 where `size` is that large (for O_DIRECT). */
export function space(size: number): Space {
  const alignment = size >= 4096 ? 4096 : 16;
  let start = Math.ceil(used / alignment) * alignment;
  if (start + size > ring.size) start = 0;
  if (size > ring.size / 2) throw new Error(`A call may not use ${size} bytes`);
  used = start + size;
  const bytes = ring.bytes.subarray(start, start + size);
  bytes.fill(0);
  const view = new DataView(ring.view.buffer, start, size);
  return { address: ring.address + start, bytes, view };
}

/** The address of a copy of `data`. */
export function copyOf(data: Uint8Array): number {
  const room = space(Math.max(data.length, 1));
  room.bytes.set(data);
  return room.address;
}

export function bytesOf(value: Path): Buffer {
  return typeof value === "string" ? Buffer.from(value) : Buffer.from(value);
}

/** The address of `path`, NUL at its end. */
export function pathAddress(path: Path): number {
  return copyOf(Buffer.concat([bytesOf(path), Buffer.of(0)]));
}
