/** Waiting for programs that were started, and what is asked and prepared before (child.ts starts them). */
import { SYS } from "./arch.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate, putWord64, type Region } from "./memory.ts";
import { AT_EACCESS, AT_EMPTY_PATH } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({ waitid: { args: [i32, i32, addr, i32], returns: i32 } });

// linux/wait.h
const P_ALL = 0;
const P_PIDFD = 3;
const WNOHANG = 1;
const WSTOPPED = 2;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;

/** siginfo_t of a child (asm-generic/siginfo.h). */
export const SIGINFO = { code: 8, pid: 16, status: 24 } as const;
export const SIGINFO_STRUCT_SIZE = 128;

// asm-generic/siginfo.h
export const CLD_EXITED = 1;

/** A NUL. */
const EMPTY_PATH = allocate(1);
const information = allocate(SIGINFO_STRUCT_SIZE);

/** How a child has ended: its exit code, or the signal that it died of. */
export interface Ending {
  readonly code: number;
  readonly signal: number;
}

/**
 * waitid(2) without waiting: how the child has ended; undefined where it runs still. With
 * `keep` it stays, as a zombie, so that its number is nobody else's.
 */
export function reap(pidfd: number, keep = false): Ending | undefined {
  information.view.setInt32(SIGINFO.pid, 0, true);
  const options = WEXITED | WNOHANG | (keep ? WNOWAIT : 0);
  const result = orErrno(c.waitid(P_PIDFD, pidfd, information.address, options));
  if (result < 0 || information.view.getInt32(SIGINFO.pid, true) === 0) return undefined;
  const status = information.view.getInt32(SIGINFO.status, true);
  const exited = information.view.getInt32(SIGINFO.code, true) === CLD_EXITED;
  return exited ? { code: status, signal: 0 } : { code: 0, signal: status };
}

/** A child that was stopped, and by which signal. */
export interface Stopped {
  readonly pid: number;
  readonly signal: number;
}

/** waitid(2): a child of the process that was stopped and has not been told of; undefined: none. */
export function takeStopped(): Stopped | undefined {
  information.view.setInt32(SIGINFO.pid, 0, true);
  const result = orErrno(c.waitid(P_ALL, 0, information.address, WSTOPPED | WNOHANG));
  const pid = information.view.getInt32(SIGINFO.pid, true);
  if (result < 0 || pid === 0) return undefined;
  return { pid, signal: information.view.getInt32(SIGINFO.status, true) };
}

/**
 * An array of the addresses of strings that lie one behind the other at `address`, each with
 * its NUL, in `bytes`; a NULL at its end. To be freed.
 */
export function stringArray(
  bytes: Uint8Array,
  address: number,
  before: readonly number[] = [],
): Region {
  let count = before.length;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) count++;
  const region = allocate((count + 1) * 8);
  let word = 0;
  const put = (value: number) => {
    putWord64(region.words, word, value);
    word += 2;
  };
  for (const value of before) put(value);
  let start = 0;
  for (let at = bytes.indexOf(0); at >= 0; at = bytes.indexOf(0, at + 1)) {
    put(address + start);
    start = at + 1;
  }
  return region;
}

/** access(2) for execution with the thread's effective ids, relative to `dirfd`: 0 or -errno. */
export function canExecute(dirfd: number, path: number): number {
  return rawSyscall(SYS.faccessat2, dirfd, path, X_OK, AT_EACCESS);
}

/** The same of what `fd` is of. */
export function canExecuteFd(fd: number): number {
  return rawSyscall(SYS.faccessat2, fd, EMPTY_PATH.address, X_OK, AT_EACCESS | AT_EMPTY_PATH);
}

/** unistd.h */
const X_OK = 1;
