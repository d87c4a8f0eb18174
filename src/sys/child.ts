/**
 * Starting programs. What a program is to have that its parent has not is given to it between
 * clone(2) and execve(2) (childcalls.ts): users, limits and cgroups of this process never
 * change, and the program never runs without them.
 */
import { SYS } from "./arch.ts";
import { CallList } from "./childcalls.ts";
import { PathBuffer } from "./cstring.ts";
import { type Limit, RLIMIT_COUNT, UNLIMITED } from "./limits.ts";
import { allocate, putWord64 } from "./memory.ts";
import { AT_EMPTY_PATH, AT_FDCWD, F_SETFD } from "./open.ts";
import { RLIMIT, RLIMIT_STRUCT_SIZE } from "./process.ts";
import { SIGKILL, SIGRTMAX, SIGSTOP } from "./signals.ts";

/** A descriptor of the child: a duplicate of `fd`, or what is opened at `path`. */
export type ChildFd =
  | { readonly target: number; readonly fd: number }
  | { readonly target: number; readonly path: string; readonly flags: number };

/** Who a program runs as. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** A limit of the program's; one that must not be set is left as it is where the kernel refuses it. */
export interface ChildLimit {
  readonly resource: number;
  readonly limit: Limit;
  readonly isRequired: boolean;
}

export interface SpawnOptions {
  /** What is executed: the address of a path, as seen from `cwdFd`, or a descriptor above all targets. */
  readonly program: { readonly path: number } | { readonly fd: number };
  /** A descriptor above all targets that stays open: it leads a script's interpreter to the script. */
  readonly keptFd?: number;
  /** Addresses of arrays of addresses of NUL-terminated strings, a NULL at their end. */
  readonly argv: number;
  readonly envp: number;
  /** Where its process number is written as text, without a NUL: `room` bytes at `address`. */
  readonly number?: { readonly address: number; readonly room: number };
  /** Directory that the child is in. */
  readonly cwdFd: number;
  readonly umask: number;
  /** Whom it becomes; this process's user without it. */
  readonly identity?: Identity;
  readonly limits: readonly ChildLimit[];
  /** Files `cgroup.procs`, open for writing, of the cgroups that it enters. */
  readonly cgroupFds: readonly number[];
  /** Its descriptors, by target from the least; it has no others. Those duplicated are above all targets. */
  readonly fds: readonly ChildFd[];
  /** Signals that it has blocked and that it ignores: bit n - 1 is signal n. */
  readonly blocked: bigint;
  readonly ignored: bigint;
  /** How long all that may take before the program runs: ETIMEDOUT; START_MS without it. */
  readonly boundMs?: number;
}

/** At which step a program was not started, and the errno of that; `index`: of the list's element. */
export interface SpawnFailure {
  readonly step: "session" | "limit" | "cgroup" | "user" | "directory" | "descriptor" | "program";
  readonly index: number;
  readonly errno: number;
}

/** Longer than any file system takes that is not away. */
const START_MS = 30_000;
const FDS_MAX = 256;
const CGROUPS_MAX = 32;
/** At most four for each descriptor, and some that are there once. */
const CALLS_MAX = SIGRTMAX + RLIMIT_COUNT + CGROUPS_MAX + 4 * FDS_MAX + 16;
/** sigaction of the kernel (both machines): handler, flags, restorer, mask. */
const KERNEL_SIGACTION_BYTES = 32;
const SIG_IGN = 1;
const SIG_SETMASK = 2;
const SIGSET_BYTES = 8;
const LAST_FD = 0xffff_ffff;
const GROUPS_MAX = 65_536;

const calls = new CallList(CALLS_MAX);
/** What each call in the list is for. */
const steps: { step: SpawnFailure["step"]; index: number }[] = [];

/** What the calls point to. */
const actions = allocate(2 * KERNEL_SIGACTION_BYTES);
actions.view.setBigUint64(KERNEL_SIGACTION_BYTES, BigInt(SIG_IGN), true);
const blockedSet = allocate(SIGSET_BYTES);
const limitTable = allocate(RLIMIT_COUNT * RLIMIT_STRUCT_SIZE);
const words = allocate(16);
words.bytes.write("0\0", 0, "latin1");
const ZERO_TEXT = words.address;
const EMPTY_PATH = words.address + 1;
const selfLink = allocate(16);
selfLink.bytes.write("/proc/self\0", 0, "latin1");
/** A symbolic link: its target is the number of the process that reads it (proc(5)). */
const SELF_LINK = selfLink.address;
let groupTable = allocate(4096);
const paths = new PathBuffer(FDS_MAX);

/** Starts a program in a session of its own: its process id, or why not. */
export function spawn(options: SpawnOptions): number | SpawnFailure {
  calls.clear();
  steps.length = 0;
  const { umask, cwdFd, blocked, identity } = options;
  step("session", () => calls.add(SYS.setsid));
  const { number } = options;
  if (number !== undefined) {
    // The kernel writes it: JavaScript does not run in the child, and here it is known too late.
    calls.try(SYS.readlinkat, AT_FDCWD, SELF_LINK, number.address, number.room);
    steps.push({ step: "session", index: 0 });
  }
  options.limits.forEach((one, i) => {
    step("limit", () => addLimit(one, i), i);
  });
  options.cgroupFds.forEach((fd, i) => {
    step("cgroup", () => calls.add(SYS.write, fd, ZERO_TEXT, 1), i);
  });
  if (identity !== undefined) step("user", () => addIdentity(identity));
  step("directory", () => {
    calls.add(SYS.umask, umask);
    calls.add(SYS.fchdir, cwdFd);
  });
  const { program, keptFd = -1 } = options;
  addDescriptors(options.fds, "fd" in program ? program.fd : keptFd);
  step("program", () => {
    addSignals(options.ignored);
    blockedSet.view.setBigUint64(0, blocked, true);
    calls.add(SYS.rt_sigprocmask, SIG_SETMASK, blockedSet.address, 0, SIGSET_BYTES);
    addProgram(options);
  });
  const result = calls.run(options.boundMs ?? START_MS);
  if (typeof result === "number") {
    return result > 0 ? result : { step: "session", index: 0, errno: -result };
  }
  const { step: at, index } = steps[result.index] ?? { step: "program", index: 0 };
  return { step: at, index, errno: result.errno };
}

/** Notes what the calls that `add` adds are for. */
function step(name: SpawnFailure["step"], add: () => void, index = 0): void {
  add();
  const what = { step: name, index };
  while (steps.length < calls.length) steps.push(what);
}

function addLimit({ resource, limit: [soft, hard], isRequired }: ChildLimit, index: number): void {
  const at = index * RLIMIT_STRUCT_SIZE;
  const word = (value: number) => (value === UNLIMITED ? -1 : value);
  putWord64(limitTable.words, (at + RLIMIT.cur) / 4, word(soft));
  putWord64(limitTable.words, (at + RLIMIT.max) / 4, word(hard));
  const nr = SYS.prlimit64;
  if (isRequired) calls.add(nr, 0, resource, limitTable.address + at, 0);
  else calls.try(nr, 0, resource, limitTable.address + at, 0);
}

/** All three of its user ids change, and so no capability is left to one who is not root. */
function addIdentity({ uid, gid, groups }: Identity): void {
  if (groups.length > GROUPS_MAX) throw new RangeError("Too many groups");
  if (groups.length * 4 > groupTable.size) groupTable = allocate(groups.length * 4);
  groups.forEach((group, i) => {
    groupTable.words[i] = group;
  });
  calls.add(SYS.setgroups, groups.length, groupTable.address);
  calls.add(SYS.setresgid, gid, gid, gid);
  calls.add(SYS.setresuid, uid, uid, uid);
}

/** `keptFd` is above all targets, or -1. */
function addDescriptors(fds: readonly ChildFd[], keptFd: number): void {
  if (fds.length > FDS_MAX) throw new RangeError("Too many descriptors");
  /** The least number that is free, and up to which none but targets is open. */
  let free = 0;
  let next = 0;
  fds.forEach((one, i) => {
    const { target } = one;
    step(
      "descriptor",
      () => {
        addClose(next, target);
        next = target + 1;
        if ("fd" in one) {
          calls.add(SYS.dup3, one.fd, target, 0);
        } else {
          calls.add(SYS.openat, AT_FDCWD, paths.put(i, one.path), one.flags, 0);
          if (free !== target) {
            calls.add(SYS.dup3, free, target, 0);
            addClose(free, free);
          }
        }
      },
      i,
    );
    if (free === target) free = next;
  });
  step("descriptor", () => {
    if (keptFd >= 0) addClose(next, keptFd - 1);
    addClose(keptFd >= 0 ? keptFd + 1 : next, LAST_FD);
  });
}

function addClose(first: number, last: number): void {
  if (first <= last) calls.add(SYS.close_range, first, last, 0);
}

function addSignals(ignored: bigint): void {
  for (let signal = 1; signal <= SIGRTMAX; signal++) {
    if (signal === SIGKILL || signal === SIGSTOP) continue;
    const isIgnored = (ignored & (1n << BigInt(signal - 1))) !== 0n;
    const action = actions.address + (isIgnored ? KERNEL_SIGACTION_BYTES : 0);
    calls.add(SYS.rt_sigaction, signal, action, 0, SIGSET_BYTES);
  }
}

function addProgram({ program, argv, envp, keptFd }: SpawnOptions): void {
  if (keptFd !== undefined) calls.add(SYS.fcntl, keptFd, F_SETFD, 0);
  if ("path" in program) calls.add(SYS.execve, program.path, argv, envp);
  else calls.add(SYS.execveat, program.fd, EMPTY_PATH, argv, envp, AT_EMPTY_PATH);
}
