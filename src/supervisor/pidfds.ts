/**
 * pidfds of the HOST's processes under a supervisor. A program gets that of a process here which
 * stands for the one there (standin.ts); signals sent by it are sent there.
 */
import { E } from "../sys/errno.ts";
import { close, O_CLOEXEC } from "../sys/open.ts";
import { pidfdOpen } from "../sys/process.ts";
import { ANSWERED, type Call, GO_ON, type Verdict } from "./call.ts";
import { isOurs } from "./numbers.ts";
import type { Procfs } from "./spaces.ts";
import { type Target, targetOf } from "./standin.ts";
import { FULL } from "./standins.ts";

/** pidfd_open(pid, flags) */
export async function pidfdOpenCall(call: Call): Promise<Verdict> {
  const pid = call.args.arg32(0) | 0;
  if (isOurs(call, pid)) return GO_ON;
  const target = await targetAt(call, pid);
  if (target === undefined) return GO_ON;
  const standIn = await call.standIn(target);
  if (standIn === FULL) {
    call.log("warn", "Too many of the HOST's processes are waited for by pidfds");
    // Programs use its number then, as where the kernel knows no pidfd.
    return -E.ENOSYS;
  }
  const fd = pidfdOpen(standIn, call.args.arg32(1));
  // It has ended meanwhile, as has the other.
  if (fd < 0) return fd;
  const given = call.args.answerWithFd(fd, O_CLOEXEC);
  close(fd);
  return given < 0 ? given : ANSWERED;
}

/** The HOST's process of that number; undefined where no HOST has one, or none lets us ask. */
async function targetAt(call: Call, pid: number): Promise<Target | undefined> {
  for (const { server, source, ...share } of await call.shares.servers()) {
    let startedAt = -1;
    call.sessions.ask({ server, source, ...share }, (calls) => {
      startedAt = calls.startOf(pid);
      return 0;
    });
    if (startedAt >= 0) return { pid, startedAt, server, source };
  }
  return undefined;
}

/** Number of the process that the caller's pidfd `fd` is of; 0 where it is none, or of one that is gone. */
function processOfFd({ caller, procfs }: Call, fd: number): number {
  const info = procfs.read(`${caller.tid}/fdinfo/${fd | 0}`) ?? "";
  return Number(/^Pid:\s*(\d+)$/m.exec(info)?.[1] ?? 0);
}

/** Whom the caller's descriptor `fd` stands for; undefined where it is none of ours. */
export function targetOfFd(call: Call, fd: number): Target | undefined {
  const standIn = processOfFd(call, fd);
  return standIn === 0 ? undefined : targetOf(call.procfs, standIn);
}

/** Whether it is a process of ours that stood for one of the HOST's, and that nobody has waited for yet. */
function hasEnded(procfs: Procfs, pid: number): boolean {
  const status = procfs.read(`${pid}/status`) ?? "";
  const isOwn = new RegExp(`^PPid:\\s*${process.pid}$`, "m").test(status);
  return isOwn && /^State:\s*Z/m.test(status);
}

/** pidfd_send_signal(pidfd, signal, info, flags). What `info` says beyond the signal stays here. */
export async function pidfdSignalCall(call: Call): Promise<Verdict> {
  const { args, caller, procfs, sessions } = call;
  const standIn = processOfFd(call, args.arg32(0));
  const target = standIn === 0 ? undefined : targetOf(procfs, standIn);
  if (target === undefined) return hasEnded(procfs, standIn) ? -E.ESRCH : GO_ON;
  // Threads, and groups, of which a HOST's are not known.
  if (args.arg32(3) !== 0) return -E.EINVAL;
  if (!args.isValid()) return GO_ON;
  const { pid, startedAt } = target;
  const share = { ...target, target: "", splits: false };
  const errno = sessions.ask(share, (calls) =>
    calls.signal(pid, args.arg32(1), caller.uid, startedAt),
  );
  return errno === E.EACCES ? -E.EPERM : -errno;
}

/** pidfd_getfd(pidfd, fd, flags): what the HOST's process has open is there. */
export async function pidfdGetfdCall(call: Call): Promise<Verdict> {
  const target = targetOfFd(call, call.args.arg32(0));
  if (target === undefined) return GO_ON;
  call.log("warn", `A descriptor of the HOST's process ${target.pid} cannot be had here`);
  return -E.EPERM;
}
