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

/** Buffer with the methods that Bun has and its types leave out. */
export interface Bytes extends Buffer {
  latin1Write(text: string, offset: number, length?: number): number;
  utf8Write(text: string, offset: number, length?: number): number;
  latin1Slice(start: number, end: number): string;
}

/** A region of plain memory: one address, seen as bytes, as u32 words and through a DataView. */
export interface Region {
  readonly address: number;
  readonly size: number;
  readonly bytes: Bytes;
  /** The whole words of the region; the fastest way to fixed fields of a struct. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
}

/** Maps `size` bytes of zeroed memory; pages cost nothing until touched. */
export function allocate(size: number): Region {
  const address = Number(c.mmap(0, size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0));
  if (address === -1) throw new Error(`Cannot map ${size} bytes of memory: errno ${errno()}`);
  return regionAt(address, size);
}

/** The region at `address`, which is mapped already and stays so while it is used. */
export function regionAt(address: number, size: number): Region {
  const buffer = toArrayBuffer(address as Pointer, 0, size);
  return {
    address,
    size,
    bytes: Buffer.from(buffer) as Bytes,
    words: new Uint32Array(buffer, 0, Math.floor(size / 4)),
    view: new DataView(buffer),
  };
}

/** Returns a region to the kernel. Its views must not be used afterwards. */
export function free(region: Region): void {
  c.munmap(region.address, region.size);
}

/** 2^32: the weight of a 64-bit field's upper word. */
const UPPER = 0x1_0000_0000;

/**
 * Stores a 64-bit little-endian field as two words, without a BigInt.
 *
 * `index` counts words. `value` is an integer within 2^53 of zero; a negative
 * one is stored as two's complement.
 */
export function putWord64(words: Uint32Array, index: number, value: number): void {
  words[index] = value;
  words[index + 1] = Math.floor(value / UPPER);
}

/** Reads a 64-bit field (unsigned) from two words; exact below 2^53. */
export function getWord64(words: Uint32Array, index: number): number {
  return (words[index] ?? 0) + (words[index + 1] ?? 0) * UPPER;
}
