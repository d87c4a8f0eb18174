/**
 * Memory that system calls may point into.
 *
 * Small typed arrays move and are collected (bun-techniques §7), so whatever a
 * pointer is taken of comes from mmap(2) here and is never freed by the
 * garbage collector: a region lives until `free()` or the end of the process.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { addr, errno, i32, i64, libc, u64 } from "./libc.ts";

const c = libc({
  mmap: { args: [addr, u64, i32, i32, i32, i64], returns: i64 },
  munmap: { args: [addr, u64], returns: i32 },
});

const PROT_READ_WRITE = 0x3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

/** A region of plain memory: one address, seen as bytes and through a DataView. */
export interface Region {
  readonly address: number;
  readonly size: number;
  readonly bytes: Buffer;
  readonly view: DataView<ArrayBuffer>;
}

/** Maps `size` bytes of zeroed memory; pages cost nothing until touched. */
export function allocate(size: number): Region {
  const address = Number(
    c.mmap(0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0),
  );
  if (address === -1) throw new Error(`Cannot map ${size} bytes of memory: errno ${errno()}`);
  const buffer = toArrayBuffer(address as Pointer, 0, size);
  return { address, size, bytes: Buffer.from(buffer), view: new DataView(buffer) };
}

/** Returns a region to the kernel. Its views must not be used afterwards. */
export function free(region: Region): void {
  c.munmap(region.address, region.size);
}
