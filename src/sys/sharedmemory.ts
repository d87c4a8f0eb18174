/**
 * Memory that is a file's: mapped MAP_SHARED, its pages belong to the kernel and
 * outlive the process that wrote them, however it ended.
 *
 * A page that is touched where the file has none is made then, and SIGBUS ends
 * the process when the file system is full. So whoever maps a sparse file calls
 * fallocate(2) for a part before it is touched, and learns of ENOSPC there.
 */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import { addr, i32, i64, libc, orErrno, u32, u64 } from "./libc.ts";

const c = libc({
  memfd_create: { args: [addr, u32], returns: i32 },
  mmap: { args: [addr, u64, i32, i32, i32, i64], returns: i64 },
  munmap: { args: [addr, u64], returns: i32 },
});

const PROT_READ_WRITE = 0x3;
const MAP_SHARED = 0x1;
const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;

/** memfd_create(2): a file in memory without a name, or -errno. `name` is for /proc alone. */
export function memfdCreate(name: number): number {
  return orErrno(c.memfd_create(name, MFD_CLOEXEC));
}

/** The same, one that can be sealed (fcntl(2): F_ADD_SEALS). */
export function memfdCreateSealable(name: number): number {
  return orErrno(c.memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/** Maps the first `size` bytes of `fd`, shared with all who do; the address or -errno. */
export function mapShared(fd: number, size: number): number {
  return orErrno(c.mmap(0, size, PROT_READ_WRITE, MAP_SHARED, fd, 0));
}

/** munmap(2). No view of that memory may be used afterwards. */
export function unmap(address: number, size: number): number {
  return orErrno(c.munmap(address, size));
}

/**
 * `size` bytes at `address` as a buffer that the garbage collector never frees.
 *
 * It counts them as its own, though: make views of what is in use, not of all
 * that is reserved, or it believes the heap to be that large and hardly ever collects.
 */
export function bufferAt(address: number, size: number): ArrayBuffer {
  return size === 0 ? new ArrayBuffer(0) : toArrayBuffer(address as Pointer, 0, size);
}
