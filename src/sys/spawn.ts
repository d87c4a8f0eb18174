/**
 * Starting programs with posix_spawn(3), and waiting for them. The child is the calling
 * thread's: it has that thread's user ids, groups, umask and root, and all signals at
 * their defaults but those that are to be ignored.
 */
import { SYS } from "./arch.ts";
import { cstring } from "./cstring.ts";
import { addr, i32, libc, orErrno, u32 } from "./libc.ts";
import { allocate, putWord64, type Region } from "./memory.ts";
import { AT_EACCESS } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  posix_spawn: { args: [addr, addr, addr, addr, addr, addr], returns: i32 },
  posix_spawn_file_actions_init: { args: [addr], returns: i32 },
  posix_spawn_file_actions_destroy: { args: [addr], returns: i32 },
  posix_spawn_file_actions_adddup2: { args: [addr, i32, i32], returns: i32 },
  posix_spawn_file_actions_addclose: { args: [addr, i32], returns: i32 },
  posix_spawn_file_actions_addopen: { args: [addr, i32, addr, i32, u32], returns: i32 },
  posix_spawn_file_actions_addfchdir_np: { args: [addr, i32], returns: i32 },
  posix_spawnattr_init: { args: [addr], returns: i32 },
  posix_spawnattr_destroy: { args: [addr], returns: i32 },
  posix_spawnattr_setflags: { args: [addr, i32], returns: i32 },
  posix_spawnattr_setsigmask: { args: [addr, addr], returns: i32 },
  posix_spawnattr_setsigdefault: { args: [addr, addr], returns: i32 },
  waitid: { args: [i32, i32, addr, i32], returns: i32 },
});

/** What C libraries before 2.34 do not have; there descriptors rely on being closed on exec. */
const closeFrom = optionalCloseFrom();

function optionalCloseFrom(): ((actions: number, from: number) => number) | undefined {
  try {
    return libc({
      posix_spawn_file_actions_addclosefrom_np: { args: [addr, i32], returns: i32 },
    }).posix_spawn_file_actions_addclosefrom_np;
  } catch {
    return undefined;
  }
}

// spawn.h of the C library
export const POSIX_SPAWN_SETSIGDEF = 0x04;
export const POSIX_SPAWN_SETSIGMASK = 0x08;
export const POSIX_SPAWN_SETSID = 0x80;
export const SPAWN_ATTR_STRUCT_SIZE = 336;
export const SPAWN_ACTIONS_STRUCT_SIZE = 80;
export const SIGSET_STRUCT_SIZE = 128;

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

const attributes = allocate(SPAWN_ATTR_STRUCT_SIZE);
const actions = allocate(SPAWN_ACTIONS_STRUCT_SIZE);
const sets = allocate(2 * SIGSET_STRUCT_SIZE);
const pid = allocate(8);
const information = allocate(SIGINFO_STRUCT_SIZE);

/** A descriptor of the child: a duplicate of `fd`, or what is opened at `path`. */
export type ChildFd =
  | { readonly target: number; readonly fd: number }
  | { readonly target: number; readonly path: string; readonly flags: number };

export interface SpawnOptions {
  /** Addresses of NUL-terminated strings and of arrays of such, a NULL at their end. */
  readonly path: number;
  readonly argv: number;
  readonly envp: number;
  /** Directory that the child is in. */
  readonly cwdFd: number;
  /** Its descriptors, by target from the least; it has no others. Those duplicated are above all targets. */
  readonly fds: readonly ChildFd[];
  /** Signals that it has blocked: bit n - 1 is signal n. */
  readonly blocked: bigint;
  /** Those that this process ignores at the moment and the child is to ignore. */
  readonly ignored: bigint;
  /** Calls what it is given, and may change what the child inherits meanwhile. */
  readonly around: (call: () => number) => number;
}

/** Starts a program in a session of its own: its process id or -errno, that of execve(2) too. */
export function spawn(options: SpawnOptions): number {
  c.posix_spawnattr_init(attributes.address);
  c.posix_spawn_file_actions_init(actions.address);
  try {
    addDescriptors(options);
    setSignals(options);
    const result = options.around(() =>
      c.posix_spawn(
        pid.address,
        options.path,
        actions.address,
        attributes.address,
        options.argv,
        options.envp,
      ),
    );
    return result === 0 ? pid.view.getInt32(0, true) : -result;
  } finally {
    c.posix_spawn_file_actions_destroy(actions.address);
    c.posix_spawnattr_destroy(attributes.address);
  }
}

function addDescriptors({ fds, cwdFd }: SpawnOptions): void {
  const at = actions.address;
  check(c.posix_spawn_file_actions_addfchdir_np(at, cwdFd));
  let next = 0;
  for (const one of fds) {
    for (; next < one.target; next++) check(c.posix_spawn_file_actions_addclose(at, next));
    next = one.target + 1;
    const { target } = one;
    if ("fd" in one) check(c.posix_spawn_file_actions_adddup2(at, one.fd, target));
    else check(c.posix_spawn_file_actions_addopen(at, target, cstring(one.path), one.flags, 0));
  }
  // Those for input and output at least, whose closing does not depend on the C library.
  for (; next < 3; next++) check(c.posix_spawn_file_actions_addclose(at, next));
  check(closeFrom?.(at, next) ?? 0);
}

/** A program that has other descriptors than it should is not to be started. */
function check(errno: number): void {
  if (errno !== 0) throw new Error(`Cannot prepare a program: errno ${errno}`);
}

function setSignals({ blocked, ignored }: SpawnOptions): void {
  const flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID;
  c.posix_spawnattr_setflags(attributes.address, flags);
  sets.view.setBigUint64(0, blocked, true);
  sets.view.setBigUint64(SIGSET_STRUCT_SIZE, BigInt.asUintN(64, ~ignored), true);
  c.posix_spawnattr_setsigmask(attributes.address, sets.address);
  c.posix_spawnattr_setsigdefault(attributes.address, sets.address + SIGSET_STRUCT_SIZE);
}

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

/** unistd.h */
const X_OK = 1;
