/** What a reactor's call threads are at, for `qtfs info`. */
import { briefState, callName } from "../info/threads.ts";
import type { ThreadReport } from "../info/watchdog.ts";
import { CallQueue, JOB_NUMBERS, JOBS_MAX } from "./callqueue.ts";

/** The threads that are at a call; `shared` is the queue they take their calls from. */
export function callReports(shared: SharedArrayBuffer): ThreadReport[] {
  const queue = new CallQueue(shared);
  const reports: ThreadReport[] = [];
  for (let id = 0; id < JOBS_MAX; id++) {
    const tid = Atomics.load(queue.tid, id);
    if (tid === 0) continue;
    const nr = queue.numbers[id * JOB_NUMBERS] as number;
    const forMs = Math.max(0, Date.now() - (queue.startedMs[id] as number));
    const state = briefState(tid)?.state ?? "";
    reports.push({ name: "call thread", tid, state, at: `in ${callName(nr)}`, forMs });
  }
  return reports;
}
