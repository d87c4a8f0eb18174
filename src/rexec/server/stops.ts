/** Which programs were stopped: SIGCHLD says that some child was, waitid(2) which. */
import { readFileSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { read } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { openSignalPipe } from "../../sys/signalpipe.ts";
import { SIGCHLD, SIGTSTP, SIGTTIN, SIGTTOU } from "../../sys/signals.ts";
import { type Stopped, takeStopped } from "../../sys/spawn.ts";

const NUMBERS_MAX = 512;
/** Signals that stop a process which does nothing about them. */
const STOPPING: ReadonlySet<number> = new Set([SIGTSTP, SIGTTIN, SIGTTOU]);

/** Calls `stopped` for each child that was stopped, from now on. */
export function watchStops(loop: Loop, stopped: (one: Stopped) => void): void {
  const fd = openSignalPipe([SIGCHLD]);
  if (fd < 0) return;
  const numbers = allocate(NUMBERS_MAX);
  loop.add(fd, EPOLLIN, {
    onEvents: () => {
      read(fd, numbers.address, numbers.size);
      for (let one = takeStopped(); one !== undefined; one = takeStopped()) stopped(one);
    },
  });
}

/**
 * Whether `signal` would stop process `pid` if that had a session that others of its terminal
 * control: the kernel stops no process of an orphaned group by it, which those here have.
 */
export function wouldStop(pid: number, signal: number): boolean {
  if (!STOPPING.has(signal)) return false;
  const bit = 1n << BigInt(signal - 1);
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    // Not those blocked: a shell that waits has all blocked for moments.
    return ["SigIgn", "SigCgt"].every((name) => {
      const hex = new RegExp(`^${name}:\\t(.*)$`, "m").exec(status)?.[1] ?? "0";
      return (BigInt(`0x${hex}`) & bit) === 0n;
    });
  } catch {
    return false;
  }
}
