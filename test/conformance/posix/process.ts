/** The process itself: identity, signals, limits, and running programs. */
import { addr, i32, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { copyOf, type Path, pathAddress, space } from "./arena.ts";
import { O_CREAT, O_TRUNC, O_WRONLY, SIGUSR2 } from "./constants.ts";
import { must, PosixError } from "./failure.ts";

const c = libc({
  setgroups: { args: [u64, addr], returns: i32 },
  setresgid: { args: [u32, u32, u32], returns: i32 },
  setresuid: { args: [u32, u32, u32], returns: i32 },
  prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
  setrlimit: { args: [i32, addr], returns: i32 },
  sigaction: { args: [i32, addr, addr], returns: i32 },
  signal: { args: [i32, addr], returns: addr },
  dlsym: { args: [addr, addr], returns: addr },
  getpid: { args: [], returns: i32 },
  usleep: { args: [u32], returns: i32 },
  posix_spawn_file_actions_init: { args: [addr], returns: i32 },
  posix_spawn_file_actions_addopen: { args: [addr, i32, addr, i32, u32], returns: i32 },
  posix_spawn_file_actions_destroy: { args: [addr], returns: i32 },
  posix_spawn: { args: [addr, addr, addr, addr, addr, addr], returns: i32 },
  waitpid: { args: [i32, addr, i32], returns: i32 },
});

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const SIGKILL = 9;
const RLIMIT_FSIZE = 1;
const RLIMIT_CORE = 4;

/** Who a process is towards the file system. */
export interface Identity {
  uid: number;
  gid: number;
  groups: readonly number[];
}

/** Becomes `identity` for good, all three ids of each kind. */
export function become(identity: Identity): void {
  const { uid, gid, groups } = identity;
  const list = space(Math.max(groups.length * 4, 4));
  groups.forEach((group, index) => {
    list.view.setUint32(index * 4, group, true);
  });
  must("setgroups", [groups], c.setgroups(groups.length, list.address));
  must("setresgid", [gid], c.setresgid(gid, gid, gid));
  must("setresuid", [uid], c.setresuid(uid, uid, uid));
  // A change of identity makes /proc/self belong to root and forgets the death signal.
  must("prctl", ["dumpable"], c.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

/** Sets the effective uid alone; the real and saved ones stay. */
export function setEffectiveUid(uid: number): void {
  must("setresuid", [uid], c.setresuid(0xffffffff, uid, 0xffffffff));
}

/** Dies when the process that started this one does, even inside a system call. */
export function dieWithParent(): void {
  must("prctl", ["pdeathsig"], c.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
}

function setLimit(resource: number, limit: bigint): void {
  const room = space(16);
  room.view.setBigUint64(0, limit, true);
  room.view.setBigUint64(8, 0xffffffffffffffffn, true);
  must("setrlimit", [resource, limit], c.setrlimit(resource, room.address));
}

/** The largest file that this process may write. */
export function limitFileSize(size: bigint): void {
  setLimit(RLIMIT_FSIZE, size);
}

/** No core files: a case may well let a process crash. */
export function noCore(): void {
  must("setrlimit", ["core"], c.setrlimit(RLIMIT_CORE, space(16).address));
}

/** The kernel's own action for a signal, whatever the runtime installed. */
export function defaultAction(signal: number): void {
  c.signal(signal, 0);
}

export function ignoreSignal(signal: number): void {
  c.signal(signal, 1);
}

/** Lets SIGUSR2 interrupt a system call: a handler that does nothing, no SA_RESTART. */
export function catchInterrupts(): void {
  // getpid(2) as the handler: it is harmless in a signal context, whatever its argument.
  const handler = Number(c.dlsym(0, pathAddress("getpid")));
  const action = space(256);
  action.view.setBigUint64(0, BigInt(handler), true);
  must("sigaction", [SIGUSR2], c.sigaction(SIGUSR2, action.address, 0));
}

export function getpid(): number {
  return c.getpid();
}

/** Waits a moment, for clocks to tick. */
export function pause(milliseconds: number): void {
  c.usleep(milliseconds * 1000);
}

/** Runs `file` with its output in `output`, and returns its exit code (128 + a signal's number). */
export function execute(file: Path, args: string[] = [], output = "/dev/null"): number {
  const actions = space(128).address;
  c.posix_spawn_file_actions_init(actions);
  const flags = O_WRONLY | O_CREAT | O_TRUNC;
  c.posix_spawn_file_actions_addopen(actions, 1, pathAddress(output), flags, 0o644);
  const argv = space((args.length + 2) * 8);
  [file, ...args].forEach((arg, index) => {
    argv.view.setBigUint64(index * 8, BigInt(pathAddress(arg)), true);
  });
  const pid = space(4);
  const none = copyOf(new Uint8Array(8));
  const program = pathAddress(file);
  const reason = c.posix_spawn(pid.address, program, actions, 0, argv.address, none);
  c.posix_spawn_file_actions_destroy(actions);
  if (reason !== 0) throw new PosixError(reason, `exec(${JSON.stringify(file)})`);
  const status = space(4);
  must("waitpid", [], c.waitpid(pid.view.getInt32(0, true), status.address, 0));
  const value = status.view.getUint32(0, true);
  return (value & 0x7f) === 0 ? (value >> 8) & 0xff : 128 + (value & 0x7f);
}
