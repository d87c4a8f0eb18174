/** Changing attributes: mode, owner, times and length. */
import { SYS } from "./arch.ts";
import { E } from "./errno.ts";
import { addr, i32, i64, libc, orErrno, u32 } from "./libc.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  fchmodat: { args: [i32, addr, u32, i32], returns: i32 },
  fchownat: { args: [i32, addr, u32, u32, i32], returns: i32 },
  utimensat: { args: [i32, addr, addr, i32], returns: i32 },
  futimens: { args: [i32, addr], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fchown: { args: [i32, u32, u32], returns: i32 },
  truncate: { args: [addr, i64], returns: i32 },
});

// linux/stat.h of the kernel (not exported), bits/stat.h of the C library: in tv_nsec
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;

/** struct timespec on 64-bit machines; utimensat takes two: access, then modification. */
export const TIMESPEC = { sec: 0, nsec: 8 } as const;
export const TIMESPEC_STRUCT_SIZE = 16;

/** For fchown and fchownat: leave this owner or group as it is, (uid_t)-1. */
export const KEEP_OWNER = 0xffff_ffff;

/**
 * Changes the mode; without flags it follows symbolic links, as chmod(2).
 *
 * AT_SYMLINK_NOFOLLOW and AT_EMPTY_PATH need fchmodat2 (Linux 6.6); before,
 * the C library does the former through /proc and refuses the latter.
 */
export function fchmodat(dirfd: number, path: number, mode: number, flags = 0): number {
  if (flags === 0) return orErrno(c.fchmodat(dirfd, path, mode, 0));
  const result = rawSyscall(SYS.fchmodat2, dirfd, path, mode, flags);
  return result === -E.ENOSYS ? orErrno(c.fchmodat(dirfd, path, mode, flags)) : result;
}

/** fchownat(2); KEEP_OWNER leaves `uid` or `gid` alone. */
export function fchownat(
  dirfd: number,
  path: number,
  uid: number,
  gid: number,
  flags: number,
): number {
  return orErrno(c.fchownat(dirfd, path, uid, gid, flags));
}

/**
 * utimensat(2) with two timespecs at `timesAddress`, or 0 for "both now".
 *
 * Path 0 means the descriptor itself, which must not be O_PATH then (EBADF).
 */
export function utimensat(
  dirfd: number,
  pathOrZero: number,
  timesAddress: number,
  flags: number,
): number {
  // The C library's utimensat refuses a null path that the kernel would take.
  if (pathOrZero === 0) return orErrno(c.futimens(dirfd, timesAddress));
  return orErrno(c.utimensat(dirfd, pathOrZero, timesAddress, flags));
}

/** fchmod(2). */
export function fchmod(fd: number, mode: number): number {
  return orErrno(c.fchmod(fd, mode));
}

/** fchown(2); KEEP_OWNER leaves `uid` or `gid` alone. */
export function fchown(fd: number, uid: number, gid: number): number {
  return orErrno(c.fchown(fd, uid, gid));
}

/** truncate(2). */
export function truncate(path: number, length: number): number {
  return orErrno(c.truncate(path, length));
}
