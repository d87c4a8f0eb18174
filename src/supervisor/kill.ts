/**
 * kill(2) and its kin under a supervisor: a number that is no process's of ours is the HOST's,
 * if it has one (numbers.ts).
 */
import { type Call, GO_ON, type Verdict } from "./call.ts";
import { askOwner, isOurs } from "./numbers.ts";

/** kill(pid, signal); groups are this machine's. */
export async function killCall(call: Call): Promise<Verdict> {
  return await signal(call, call.args.arg32(0) | 0, call.args.arg32(1));
}

/** tkill(tid, signal) */
export const tkillCall = killCall;

/** tgkill(process, tid, signal): of threads, only the first of a HOST's process is known. */
export async function tgkillCall(call: Call): Promise<Verdict> {
  const [process, thread] = [call.args.arg32(0) | 0, call.args.arg32(1) | 0];
  return process === thread ? await signal(call, process, call.args.arg32(2)) : GO_ON;
}

async function signal(call: Call, pid: number, number: number): Promise<Verdict> {
  if (isOurs(call, pid)) return GO_ON;
  const { uid } = call.caller;
  return await askOwner(call, (calls) => calls.signal(pid, number, uid));
}
