/** Looking through all processes for one that has a FIFO open, a part of them in each turn of the loop. */

import { holds, processes } from "../../../bridge/holders.ts";
import type { Loop } from "../../../bridge/loop.ts";
import type { What } from "./parts.ts";

/** How long others wait for a part of the search, and how long it waits for them. */
const TURN_MS = 1;
const PAUSE_MS = 1;

/** Calls `done`, later, with the id of a process that has `inode` (holders.ts) open for `what`; 0: none has. */
export function search(loop: Loop, inode: string, what: What, done: (pid: number) => void): void {
  // The youngest first: descriptors are inherited.
  const left = processes();
  const turn = () => {
    const endMs = performance.now() + TURN_MS;
    for (let pid = left.pop(); pid !== undefined; pid = left.pop()) {
      if (pid !== process.pid && holds(pid, inode)[what]) return done(pid);
      if (performance.now() > endMs) {
        loop.after(PAUSE_MS, turn);
        return;
      }
    }
    done(0);
  };
  loop.after(0, turn);
}
