/** Mapped files: mmap(2), msync(2), and the bytes behind an address. */
import { type Pointer, read, toArrayBuffer } from "bun:ffi";
import { addr, i32, i64, libc, u64 } from "../../../src/sys/libc.ts";
import { bytesOf, copyOf, type Path } from "./arena.ts";
import { must } from "./failure.ts";

const c = libc({
  mmap: { args: [addr, u64, i32, i32, i32, i64], returns: i64 },
  munmap: { args: [addr, u64], returns: i32 },
  mprotect: { args: [addr, u64, i32], returns: i32 },
  msync: { args: [addr, u64, i32], returns: i32 },
  memcpy: { args: [addr, addr, u64], returns: addr },
});

const mapped = new Map<number, number>();

/** Maps a file and returns the address. */
export function mmap(fd: number, length: number, protection: number, flags: number, offset = 0) {
  const result = c.mmap(0, length, protection, flags, fd, offset);
  const address = must("mmap", [fd, length, protection, flags, offset], result);
  mapped.set(address, length);
  return address;
}

export function munmap(address: number): void {
  const length = mapped.get(address) ?? 0;
  mapped.delete(address);
  must("munmap", [address, length], c.munmap(address, length));
}

export function mprotect(address: number, length: number, protection: number): void {
  must("mprotect", [length, protection], c.mprotect(address, length, protection));
}

export function msync(address: number, length: number, flags: number): void {
  must("msync", [length, flags], c.msync(address, length, flags));
}

/** Copies bytes out of a mapping. */
export function peek(address: number, length: number): Buffer {
  return Buffer.from(new Uint8Array(toArrayBuffer(address as Pointer, 0, length)));
}

/** One byte of a mapping, read by the processor: SIGBUS beyond the end of the file. */
export function peekByte(address: number): number {
  return read.u8(address as Pointer, 0);
}

/** Copies bytes into a mapping. */
export function poke(address: number, data: Path): void {
  const bytes = bytesOf(data);
  c.memcpy(address, copyOf(bytes), bytes.length);
}

/** Takes back the mappings that the last case left. */
export function unmapLeftOver(): void {
  for (const [address, length] of mapped) c.munmap(address, length);
  mapped.clear();
}
