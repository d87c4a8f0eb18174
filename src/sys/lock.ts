/** Advisory locks: flock(2), POSIX record locks and open file description locks. */
import { addr, i32, libc, orErrno } from "./libc.ts";

const c = libc({
  flock: { args: [i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, addr], returns: i32 },
});

// asm-generic/fcntl.h
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

// asm-generic/fcntl.h, 64-bit machines
export const F_GETLK = 5;
export const F_SETLK = 6;
export const F_SETLKW = 7;
export const F_OFD_GETLK = 36;
export const F_OFD_SETLK = 37;
export const F_OFD_SETLKW = 38;
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;

/**
 * Offsets of struct flock on 64-bit machines: type and whence i16, start and
 * len i64 (len 0: to the end of the file), pid i32 (0 for the OFD commands).
 */
export const FLOCK = { type: 0, whence: 2, start: 8, len: 16, pid: 24 } as const;
export const FLOCK_STRUCT_SIZE = 32;

/** flock(2). Without LOCK_NB it may block; a signal (process.ts) ends the wait with EINTR. */
export function flock(fd: number, op: number): number {
  return orErrno(c.flock(fd, op));
}

/** fcntl(2) for the lock commands, with a struct flock at `flockAddress`. */
export function fcntlLock(fd: number, cmd: number, flockAddress: number): number {
  return orErrno(c.fcntl(fd, cmd, flockAddress));
}
