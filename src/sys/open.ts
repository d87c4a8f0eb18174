/** Opening, closing and the flags of descriptors. */
import { ARCH_OPEN_FLAGS, SYS } from "./arch.ts";
import { lanes } from "./lanes.ts";
import { addr, i32, i64, libc, orErrno, u32 } from "./libc.ts";
import { allocate, putWord64 } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  openat: { args: [i32, addr, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  fcntl: { args: [i32, i32, i64], returns: i32 },
});

// asm-generic/fcntl.h
export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_ACCMODE = 0o3;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_NOCTTY = 0o400;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_DSYNC = 0o10000;
export const O_ASYNC = 0o20000;
export const O_NOATIME = 0o1000000;
export const O_CLOEXEC = 0o2000000;
/** Includes O_DSYNC, as the kernel defines it. */
export const O_SYNC = 0o4010000;
export const O_PATH = 0o10000000;

// arm64 has its own bits for these four (arch.ts).
export const O_DIRECT = ARCH_OPEN_FLAGS.O_DIRECT;
/** What the kernel adds to every open of a 64-bit program; the C library's own is 0. */
export const O_LARGEFILE = ARCH_OPEN_FLAGS.O_LARGEFILE;
export const O_DIRECTORY = ARCH_OPEN_FLAGS.O_DIRECTORY;
export const O_NOFOLLOW = ARCH_OPEN_FLAGS.O_NOFOLLOW;
/** Includes O_DIRECTORY, so that old kernels refuse it. */
export const O_TMPFILE = 0o20000000 | O_DIRECTORY;

// linux/fcntl.h
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_EACCESS = 0x200;
export const AT_REMOVEDIR = 0x200;
export const AT_SYMLINK_FOLLOW = 0x400;
export const AT_NO_AUTOMOUNT = 0x800;
export const AT_EMPTY_PATH = 0x1000;
export const AT_STATX_SYNC_AS_STAT = 0x0;
export const AT_STATX_FORCE_SYNC = 0x2000;
export const AT_STATX_DONT_SYNC = 0x4000;
export const AT_RECURSIVE = 0x8000;

// linux/openat2.h
export const RESOLVE_NO_XDEV = 0x01;
export const RESOLVE_NO_MAGICLINKS = 0x02;
export const RESOLVE_NO_SYMLINKS = 0x04;
export const RESOLVE_BENEATH = 0x08;
export const RESOLVE_IN_ROOT = 0x10;
export const RESOLVE_CACHED = 0x20;

// asm-generic/fcntl.h, linux/fcntl.h
export const F_DUPFD = 0;
export const F_GETFD = 1;
export const F_SETFD = 2;
export const F_GETFL = 3;
export const F_SETFL = 4;
export const FD_CLOEXEC = 1;
export const F_SETLEASE = 1024;
export const F_GETLEASE = 1025;
export const F_DUPFD_CLOEXEC = 1030;
export const F_SETPIPE_SZ = 1031;
export const F_GETPIPE_SZ = 1032;
export const F_ADD_SEALS = 1033;
export const F_GET_SEALS = 1034;

/** struct open_how of linux/openat2.h: three u64. */
export const OPEN_HOW = { flags: 0, mode: 8, resolve: 16 } as const;
export const OPEN_HOW_STRUCT_SIZE = 24;

const how = allocate(OPEN_HOW_STRUCT_SIZE);

/** openat(2). Returns the new descriptor or -errno. */
export function openat(dirfd: number, path: number, flags: number, mode: number): number {
  return orErrno(c.openat(dirfd, path, flags, mode));
}

/**
 * openat2(2): openat with RESOLVE_* bounds on the way. It refuses unknown
 * flags, and a mode without O_CREAT or O_TMPFILE, with EINVAL; EAGAIN means
 * that a rename raced with ".." and the call may be tried again.
 */
export function openat2(
  dirfd: number,
  path: number,
  flags: number,
  mode: number,
  resolve: number,
): number {
  putWord64(how.words, OPEN_HOW.flags / 4, flags);
  putWord64(how.words, OPEN_HOW.mode / 4, mode);
  putWord64(how.words, OPEN_HOW.resolve / 4, resolve);
  return rawSyscall(SYS.openat2, dirfd, path, how.address, OPEN_HOW_STRUCT_SIZE);
}

/** close(2). The descriptor is gone even where an error comes back (EINTR included). */
export function close(fd: number): number {
  if (lanes.size > 0) {
    const lane = lanes.get(fd);
    if (lane !== undefined) return lane.close();
  }
  return orErrno(c.close(fd));
}

/** fcntl(2) for the commands whose argument is a number or absent. */
export function fcntlInt(fd: number, cmd: number, arg = 0): number {
  return orErrno(c.fcntl(fd, cmd, arg));
}

/** Sets or clears O_NONBLOCK of the open file description. Returns 0 or -errno. */
export function setNonBlocking(fd: number, on: boolean): number {
  const flags = fcntlInt(fd, F_GETFL);
  if (flags < 0) return flags;
  return fcntlInt(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/** A second descriptor of the same description, closed on exec. */
export function dup(fd: number): number {
  return fcntlInt(fd, F_DUPFD_CLOEXEC, 0);
}
