/**
 * Whose a process number is that a supervised program uses. Processes of the DPU and of the
 * HOST are numbered apart, so that both may have one of a number. What a program means by it:
 *
 * 1. a process of ours: itself, one that is supervised like it, init, or any group;
 * 2. else the HOST's process of that number, of which it has heard from there: a container's;
 * 3. else whatever process this machine has of it.
 */
import type { HostCalls } from "../client/hostcalls.ts";
import { E } from "../sys/errno.ts";
import { type Call, GO_ON, type Verdict } from "./call.ts";
import type { Procfs } from "./spaces.ts";

const ANCESTORS_MAX = 64;
const INIT = 1;
/** linux/seccomp.h */
const SECCOMP_MODE_FILTER = 2;

/** Whether `pid` is the process `of` or one that has started it, or those. */
export function isAncestor(procfs: Procfs, pid: number, of: number): boolean {
  let at = of;
  for (let i = 0; i < ANCESTORS_MAX && at > 0; i++) {
    if (at === pid) return true;
    at = Number(field(procfs, at, "PPid"));
  }
  return false;
}

/** Whether rule 1 says that the number is this machine's. */
export function isOurs({ caller, procfs }: Call, pid: number): boolean {
  if (pid <= INIT || pid === caller.tid || pid === caller.process) return true;
  // Its numbers are those of another name space: we know what they mean no better than the HOST.
  if (!caller.countsAsWeDo) return true;
  // The supervisor's filter, or any: which, nothing tells, but hardly anybody else has one.
  return Number(field(procfs, pid, "Seccomp")) === SECCOMP_MODE_FILTER;
}

function field(procfs: Procfs, pid: number, name: string): string {
  const status = procfs.read(`${pid}/status`) ?? "";
  return new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(status)?.[1] ?? "";
}

/**
 * Asks the HOSTs, one after the other, for whom the number is a process's; `request` returns
 * an errno. GO_ON where no HOST has one, or none lets us ask.
 */
export async function askOwner(
  call: Call,
  request: (calls: HostCalls) => number,
): Promise<Verdict> {
  for (const share of await call.shares.servers()) {
    const errno = call.sessions.ask(share, request);
    // The server has one that is another user's; or it has none; or it lets nobody ask.
    if (errno === E.EACCES) return -E.EPERM;
    if (errno !== E.ESRCH && errno !== E.EPERM) return errno === 0 ? 0 : -errno;
  }
  return GO_ON;
}
