/** Reading, writing, moving and reserving data. Offsets and lengths are bytes, below 2^53. */
import { SYS } from "./arch.ts";
import { addr, i32, i64, libc, orErrno, u32, u64 } from "./libc.ts";
import { allocate, putWord64, type Region } from "./memory.ts";
import { F_SETPIPE_SZ, fcntlInt } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  read: { args: [i32, addr, u64], returns: i64 },
  write: { args: [i32, addr, u64], returns: i64 },
  pread: { args: [i32, addr, u64, i64], returns: i64 },
  pwrite: { args: [i32, addr, u64, i64], returns: i64 },
  readv: { args: [i32, addr, i32], returns: i64 },
  writev: { args: [i32, addr, i32], returns: i64 },
  lseek: { args: [i32, i64, i32], returns: i64 },
  ftruncate: { args: [i32, i64], returns: i32 },
  fallocate: { args: [i32, i32, i64, i64], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  fdatasync: { args: [i32], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  copy_file_range: { args: [i32, addr, i32, addr, u64, u32], returns: i64 },
  sendfile: { args: [i32, i32, addr, u64], returns: i64 },
  splice: { args: [i32, addr, i32, addr, u64, u32], returns: i64 },
  tee: { args: [i32, i32, u64, u32], returns: i64 },
  pipe2: { args: [addr, i32], returns: i32 },
});

// linux/fs.h
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

// linux/falloc.h
export const FALLOC_FL_KEEP_SIZE = 0x01;
export const FALLOC_FL_PUNCH_HOLE = 0x02;
export const FALLOC_FL_COLLAPSE_RANGE = 0x08;
export const FALLOC_FL_ZERO_RANGE = 0x10;
export const FALLOC_FL_INSERT_RANGE = 0x20;
export const FALLOC_FL_UNSHARE_RANGE = 0x40;

// bits/fcntl-linux.h of the C library; linux/splice.h is not exported.
export const SPLICE_F_MOVE = 1;
export const SPLICE_F_NONBLOCK = 2;
export const SPLICE_F_MORE = 4;
export const SPLICE_F_GIFT = 8;

/** Two i64 offsets, or the two descriptors of a pipe. */
const scratch = allocate(16);
const firstOffset = scratch.address;
const secondOffset = scratch.address + 8;

/** read(2): bytes read (0 at the end) or -errno. */
export function read(fd: number, address: number, n: number): number {
  return orErrno(c.read(fd, address, n));
}

/** write(2): bytes written or -errno. */
export function write(fd: number, address: number, n: number): number {
  return orErrno(c.write(fd, address, n));
}

/** linux/fs.h: RWF_NOWAIT. */
const RWF_NOWAIT = 0x8;
/** One iovec (IOVEC). */
const single = allocate(16);

/**
 * read(2) that does not wait whatever the description's flags say (preadv2(2) with
 * RWF_NOWAIT): -EAGAIN where there is nothing, -EOPNOTSUPP for files that cannot be asked so.
 */
export function readNoWait(fd: number, address: number, n: number): number {
  putWord64(single.words, 0, address);
  putWord64(single.words, 2, n);
  return rawSyscall(SYS.preadv2, fd, single.address, 1, -1, -1, RWF_NOWAIT);
}

/** pread(2). */
export function pread(fd: number, address: number, n: number, offset: number): number {
  return orErrno(c.pread(fd, address, n, offset));
}

/** pwrite(2); on an O_APPEND descriptor Linux appends and ignores `offset`. */
export function pwrite(fd: number, address: number, n: number, offset: number): number {
  return orErrno(c.pwrite(fd, address, n, offset));
}

/** readv(2) into `count` iovecs at `iovAddress` (IoVec). */
export function readv(fd: number, iovAddress: number, count: number): number {
  return orErrno(c.readv(fd, iovAddress, count));
}

/** writev(2) from `count` iovecs at `iovAddress` (IoVec). */
export function writev(fd: number, iovAddress: number, count: number): number {
  return orErrno(c.writev(fd, iovAddress, count));
}

/**
 * lseek(2). A directory's position is an opaque cookie of up to 63 bits
 * (ext4's is a hash): pass it as a bigint where it exceeds 2^53.
 */
export function lseek(fd: number, offset: number | bigint, whence: number): number {
  return orErrno(c.lseek(fd, offset as number, whence));
}

/** ftruncate(2). */
export function ftruncate(fd: number, length: number): number {
  return orErrno(c.ftruncate(fd, length));
}

/** fallocate(2) with FALLOC_FL_* in `mode`. */
export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  return orErrno(c.fallocate(fd, mode, offset, length));
}

/** fsync(2). */
export function fsync(fd: number): number {
  return orErrno(c.fsync(fd));
}

/** fdatasync(2). */
export function fdatasync(fd: number): number {
  return orErrno(c.fdatasync(fd));
}

/** syncfs(2): the whole file system that `fd` lies on. */
export function syncfs(fd: number): number {
  return orErrno(c.syncfs(fd));
}

/** copy_file_range(2) between given offsets: bytes copied (0 at the source's end) or -errno. */
export function copyFileRange(
  fdIn: number,
  offIn: number,
  fdOut: number,
  offOut: number,
  length: number,
  flags: number,
): number {
  putWord64(scratch.words, 0, offIn);
  putWord64(scratch.words, 2, offOut);
  return orErrno(c.copy_file_range(fdIn, firstOffset, fdOut, secondOffset, length, flags));
}

/** sendfile(2) from `offset` of `inFd`, whose own position stays. */
export function sendfile(outFd: number, inFd: number, offset: number, n: number): number {
  putWord64(scratch.words, 0, offset);
  return orErrno(c.sendfile(outFd, inFd, firstOffset, n));
}

/** splice(2) at both descriptors' own positions; one of them is a pipe. */
export function splice(fdIn: number, fdOut: number, n: number, flags: number): number {
  return orErrno(c.splice(fdIn, 0, fdOut, 0, n, flags));
}

/** tee(2): bytes of pipe `fdIn` that are in pipe `fdOut`, too; 0 where the first is empty and nobody writes to it; or -errno. */
export function tee(fdIn: number, fdOut: number, n: number, flags: number): number {
  return orErrno(c.tee(fdIn, fdOut, n, flags));
}

/** pipe2(2): [read end, write end], or -errno. */
export function pipe2(flags: number): [number, number] | number {
  const result = orErrno(c.pipe2(scratch.address, flags));
  if (result < 0) return result;
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}

/**
 * Sets a pipe's capacity: the bytes it got (a power of two of pages), or
 * -errno; EPERM above `fs.pipe-max-size` without CAP_SYS_RESOURCE.
 */
export function setPipeSize(fd: number, bytes: number): number {
  return fcntlInt(fd, F_SETPIPE_SZ, bytes);
}

/** struct iovec: the address, then the length, 64 bits each. */
export const IOVEC = { base: 0, len: 8 } as const;
export const IOVEC_STRUCT_SIZE = 16;

/** An array of `count` iovecs for readv and writev. */
export class IoVec {
  readonly address: number;
  private readonly region: Region;

  constructor(count: number) {
    this.region = allocate(count * IOVEC_STRUCT_SIZE);
    this.address = this.region.address;
  }

  /** Points entry `index` at `length` bytes from `address`. */
  set(index: number, address: number, length: number): void {
    const word = (index * IOVEC_STRUCT_SIZE) / 4;
    putWord64(this.region.words, word, address);
    putWord64(this.region.words, word + IOVEC.len / 4, length);
  }
}
