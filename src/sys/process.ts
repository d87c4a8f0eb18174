/** Processes, threads, signals and limits. */
import { readFileSync } from "node:fs";
import { SYS } from "./arch.ts";
import { cstring } from "./cstring.ts";
import { addr, i32, libc, orErrno, u32, u64 } from "./libc.ts";
import { allocate, putWord64 } from "./memory.ts";
import { O_CLOEXEC } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  umask: { args: [u32], returns: u32 },
  getpid: { args: [], returns: i32 },
  kill: { args: [i32, i32], returns: i32 },
  prlimit: { args: [i32, i32, addr, addr], returns: i32 },
  sigaction: { args: [i32, addr, addr], returns: i32 },
  abs: { args: [i32], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  dup2: { args: [i32, i32], returns: i32 },
  dup3: { args: [i32, i32, i32], returns: i32 },
  setsid: { args: [], returns: i32 },
  getpagesize: { args: [], returns: i32 },
  _exit: { args: [i32], returns: "void" },
});

// linux/prctl.h
export const PR_SET_PDEATHSIG = 1;
export const PR_SET_NAME = 15;

// asm-generic/resource.h
export const RLIMIT_NOFILE = 7;

/** struct rlimit64: soft and hard limit, u64 each. */
export const RLIMIT = { cur: 0, max: 8 } as const;
export const RLIMIT_STRUCT_SIZE = 16;

/**
 * The C library's struct sigaction on both machines: handler, 1024 signals'
 * mask, flags i32, restorer (which the library fills in).
 */
export const SIGACTION = { handler: 0, mask: 8, flags: 136, restorer: 144 } as const;
export const SIGACTION_STRUCT_SIZE = 152;

/** Place of `starttime` behind the name in /proc/N/stat (proc(5)). */
const STARTTIME = 19;

const limit = allocate(RLIMIT_STRUCT_SIZE);
const action = allocate(SIGACTION_STRUCT_SIZE);

/** umask(2), of the whole process: returns the one before. */
export function umask(mask: number): number {
  return c.umask(mask);
}

/** gettid(2): this thread's id. (The C library has a wrapper from 2.30 on only.) */
export function gettid(): number {
  return rawSyscall(SYS.gettid);
}

/** getpid(2). */
export function getpid(): number {
  return c.getpid();
}

/** tgkill(2): signal `sig` to thread `tid` of process `pid`. */
export function tgkill(pid: number, tid: number, sig: number): number {
  return rawSyscall(SYS.tgkill, pid, tid, sig);
}

/** kill(2). */
export function kill(pid: number, sig: number): number {
  return orErrno(c.kill(pid, sig));
}

/** Real, effective and saved user of a process (proc(5)); empty where there is none. */
export function idsOf(pid: number): number[] {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return (/^Uid:\s*(.*)$/m.exec(status)?.[1] ?? "").split(/\s+/).slice(0, 3).map(Number);
  } catch {
    return [];
  }
}

/**
 * When a process was started, in clock ticks since the machine was booted (proc(5), `stat`); -1
 * where there is none. Together with its number this is nobody else's.
 */
export function startOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Its name, in parentheses, may have any character in it.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[STARTTIME]);
  } catch {
    return -1;
  }
}

/** Of pidfd_open(2), from Linux 6.9 on: any thread, not just the first of a process (O_EXCL). */
export const PIDFD_THREAD = 0o200;

/** pidfd_open(2): a descriptor, closed on exec, readable when the process has ended. */
export function pidfdOpen(pid: number, flags = 0): number {
  return rawSyscall(SYS.pidfd_open, pid, flags);
}

/**
 * pidfd_getfd(2): a duplicate, closed on exec, of what process `pidfd` has open as `fd`, in the
 * table of its first thread; or -errno. One's own process may always be asked.
 */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return rawSyscall(SYS.pidfd_getfd, pidfd, fd, 0);
}

/** Raises the soft limit of descriptors to the hard one; returns it, or -errno. */
export function raiseNoFileLimit(): number {
  const result = orErrno(c.prlimit(0, RLIMIT_NOFILE, 0, limit.address));
  if (result < 0) return result;
  const hard = limit.view.getBigUint64(RLIMIT.max, true);
  limit.view.setBigUint64(RLIMIT.cur, hard, true);
  const raised = orErrno(c.prlimit(0, RLIMIT_NOFILE, limit.address, 0));
  return raised < 0 ? raised : Number(hard);
}

/**
 * Makes `signal` do nothing but end a blocking call with EINTR in the thread
 * that it is sent to (tgkill).
 *
 * The handler is abs(3): it takes the signal's number, returns, and touches
 * nothing. SA_RESTART is left out, so the call is not resumed. Signals 30 and
 * 31 are Bun's own and 32 to 33 the C library's (SigCgt of /proc/self/status).
 */
export function onSignalInterrupt(signal: number): number {
  action.bytes.fill(0);
  putWord64(action.words, SIGACTION.handler / 4, handlerAddress());
  return orErrno(c.sigaction(signal, action.address, 0));
}

/** Gives `signal` its default action (SIG_DFL, which is 0). Returns 0 or -errno. */
export function resetSignal(signal: number): number {
  action.bytes.fill(0);
  return orErrno(c.sigaction(signal, action.address, 0));
}

function handlerAddress(): number {
  return (c.abs as unknown as { readonly ptr: number }).ptr;
}

/** Names this thread (comm, 15 bytes of it). */
export function setProcessName(name: string): number {
  return orErrno(c.prctl(PR_SET_NAME, cstring(name), 0, 0, 0));
}

/**
 * Has `signal` sent to this process when the thread that started it ends
 * (prctl(2)); 0 for none.
 */
export function setDeathSignal(signal: number): number {
  return orErrno(c.prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0));
}

/**
 * Makes `target` a duplicate of `fd`, open across exec unless `closeOnExec`.
 * Returns `target` or -errno; EINVAL for closeOnExec on the same number.
 */
export function dupOver(fd: number, target: number, closeOnExec = false): number {
  return orErrno(closeOnExec ? c.dup3(fd, target, O_CLOEXEC) : c.dup2(fd, target));
}

/** sched.h of the kernel */
const CLONE_FILES = 0x400;
/** The last descriptor that close_range(2) may be told of. */
const LAST_FD = 0xffff_ffff;

/**
 * Gives this thread a table of descriptors of its own, with nothing in it but `fd`: what the other threads have open does not stay open through this
 * one when they end. Returns 0 or -errno.
 */
export function keepOnlyFd(fd: number): number {
  let result = rawSyscall(SYS.unshare, CLONE_FILES);
  if (result === 0 && fd > 0) result = rawSyscall(SYS.close_range, 0, fd - 1, 0);
  return result < 0 ? result : rawSyscall(SYS.close_range, fd + 1, LAST_FD, 0);
}

/** sched.h of the kernel */
const CLONE_FS = 0x200;

/** Gives this thread a root and a working directory of its own. Returns 0 or -errno. */
export function unshareFs(): number {
  return rawSyscall(SYS.unshare, CLONE_FS);
}

/** fchdir(2), of all threads that share the working directory. Returns 0 or -errno. */
export function fchdir(fd: number): number {
  return rawSyscall(SYS.fchdir, fd);
}

/** chroot(2) into the working directory: `here` is the address of ".". Returns 0 or -errno. */
export function chroot(here: number): number {
  return rawSyscall(SYS.chroot, here);
}

/** setsid(2): the new session's id or -errno. */
export function setsid(): number {
  return orErrno(c.setsid());
}

/** Bytes of a page of this machine's. */
export function getPageSize(): number {
  return c.getpagesize();
}

/** Ends the process at once: what nobody has written yet is not written. */
export function exitNow(code: number): never {
  c._exit(code);
  throw new Error("The process has ended");
}

/** kcmp(2) of two descriptors of this process: 0 where they are one description; or another number. */
export function compareDescriptions(fd: number, other: number): number {
  const pid = getpid();
  return rawSyscall(SYS.kcmp, pid, pid, KCMP_FILE, fd, other);
}

/** linux/kcmp.h */
const KCMP_FILE = 0;
