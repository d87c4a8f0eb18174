/** The directory tree: making, removing, renaming, linking and listing names. */
import { SYS } from "./arch.ts";
import { E } from "./errno.ts";
import { addr, i32, i64, libc, orErrno, u32, u64 } from "./libc.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  mkdirat: { args: [i32, addr, u32], returns: i32 },
  unlinkat: { args: [i32, addr, i32], returns: i32 },
  renameat2: { args: [i32, addr, i32, addr, u32], returns: i32 },
  linkat: { args: [i32, addr, i32, addr, i32], returns: i32 },
  symlinkat: { args: [addr, i32, addr], returns: i32 },
  readlinkat: { args: [i32, addr, addr, u64], returns: i64 },
});

// linux/fs.h
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

/**
 * Offsets of struct linux_dirent64 (getdents64(2)): ino u64, off i64 (opaque,
 * up to 63 bits), reclen u16, type u8, then the name and its NUL.
 */
export const DIRENT = { ino: 0, off: 8, reclen: 16, type: 18, name: 19 } as const;

// dirent.h: d_type, which is the file type of the mode shifted right by 12
export const DT_UNKNOWN = 0;
export const DT_FIFO = 1;
export const DT_CHR = 2;
export const DT_DIR = 4;
export const DT_BLK = 6;
export const DT_REG = 8;
export const DT_LNK = 10;
export const DT_SOCK = 12;

/** mkdirat(2). */
export function mkdirat(dirfd: number, path: number, mode: number): number {
  return orErrno(c.mkdirat(dirfd, path, mode));
}

/**
 * mknodat(2); `dev` as makedev() gives it. The kernel takes 32 bits of it, so
 * a larger one is EINVAL, as in the C library (whose wrapper is younger than
 * the C libraries of many DPUs: 2.33).
 */
export function mknodat(dirfd: number, path: number, mode: number, dev: number): number {
  if (dev > 0xffff_ffff) return -E.EINVAL;
  return rawSyscall(SYS.mknodat, dirfd, path, mode, dev);
}

/** unlinkat(2); AT_REMOVEDIR (open.ts) for directories. */
export function unlinkat(dirfd: number, path: number, flags: number): number {
  return orErrno(c.unlinkat(dirfd, path, flags));
}

/** renameat2(2) with RENAME_* flags. */
export function renameat2(
  oldDirfd: number,
  oldPath: number,
  newDirfd: number,
  newPath: number,
  flags: number,
): number {
  return orErrno(c.renameat2(oldDirfd, oldPath, newDirfd, newPath, flags));
}

/** linkat(2); does not follow a symbolic link at `oldPath` without AT_SYMLINK_FOLLOW. */
export function linkat(
  oldDirfd: number,
  oldPath: number,
  newDirfd: number,
  newPath: number,
  flags: number,
): number {
  return orErrno(c.linkat(oldDirfd, oldPath, newDirfd, newPath, flags));
}

/** symlinkat(2): `path` will point to the text at `target`. */
export function symlinkat(target: number, dirfd: number, path: number): number {
  return orErrno(c.symlinkat(target, dirfd, path));
}

/** readlinkat(2): bytes of the target, without a NUL; `size` of them may be a cut-off target. */
export function readlinkat(dirfd: number, path: number, buffer: number, size: number): number {
  return orErrno(c.readlinkat(dirfd, path, buffer, size));
}

/** getdents64(2): bytes of records at `buffer` (DIRENT), 0 at the end, or -errno. */
export function getdents64(fd: number, buffer: number, size: number): number {
  return rawSyscall(SYS.getdents64, fd, buffer, size);
}

/** 2^32: where the upper part of a 64-bit device number begins. */
const UPPER = 0x1_0000_0000;

/** A device number in the C library's 64-bit layout (bits/sysmacros.h), as a number. */
export function makedev(majorNumber: number, minorNumber: number): number {
  const low = ((majorNumber & 0xfff) << 8) | (minorNumber & 0xff) | ((minorNumber & 0xfff00) << 12);
  const high = ((majorNumber & 0xfffff000) | (minorNumber >>> 20)) >>> 0;
  return (low >>> 0) + high * UPPER;
}

/** The major number of a device. */
export function major(dev: number): number {
  const high = Math.floor(dev / UPPER);
  return (((dev >>> 8) & 0xfff) | (high & 0xfffff000)) >>> 0;
}

/** The minor number of a device. */
export function minor(dev: number): number {
  const high = Math.floor(dev / UPPER);
  return ((dev & 0xff) | ((dev >>> 12) & 0xfff00) | ((high & 0xfff) << 20)) >>> 0;
}
