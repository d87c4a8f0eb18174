/**
 * Programs of a keeper that was killed, which nobody is the parent of and whose pipes have lost
 * their other ends: those that were to end with their clients are ended; the others are told of
 * until they have ended, of which nobody can know how.
 */
import { readFileSync } from "node:fs";
import type { Loop } from "../../bridge/loop.ts";
import { bootTimeMs } from "../../sys/clock.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { close } from "../../sys/open.ts";
import { kill, pidfdOpen } from "../../sys/process.ts";
import { SIGKILL } from "../../sys/signals.ts";
import type { ProgramReport } from "./register.ts";
import type { ProgramSlots, Slot } from "./slots.ts";

/** How a program has ended of which nobody can know. */
export const UNKNOWN = { code: -1, signal: 0 } as const;
/** /proc/PID/stat counts hundredths of a second (USER_HZ), and we note the time after the start. */
const TICK_MS = 10;
const LATE_MS = 2000;
/** Fields of /proc/PID/stat (proc(5)), behind the name. */
const SESSION_FIELD = 3;
const START_FIELD = 19;

interface Orphan {
  readonly slot: Slot;
  readonly report: ProgramReport;
}

export class Orphans {
  readonly #loop: Loop;
  readonly #slots: ProgramSlots;
  readonly #changed: (report: ProgramReport) => void;
  readonly #running = new Map<number, Orphan>();
  /** Programs that were ended when they were found. */
  ended = 0;

  /** Looks for those that `slots` names; `changed` is told when one has ended. */
  constructor(loop: Loop, slots: ProgramSlots, changed: (report: ProgramReport) => void) {
    this.#loop = loop;
    this.#slots = slots;
    this.#changed = changed;
    for (const slot of slots.taken()) this.#find(slot);
  }

  /** Those that run still. */
  get size(): number {
    return this.#running.size;
  }

  reports(): ProgramReport[] {
    return [...this.#running.values()].map(({ report }) => report);
  }

  /** Signals the process group of the one that runs as `pid`; whether there is one. */
  signal(pid: number, signal: number): boolean {
    if (!this.#running.has(pid)) return false;
    kill(-pid, signal);
    return true;
  }

  #find(slot: Slot): void {
    const { pid, outlives } = slot;
    const pidfd = pidfdOpen(pid);
    if (pidfd < 0 || !isOf(slot)) {
      if (pidfd >= 0) close(pidfd);
      this.#slots.release(slot.index);
      return;
    }
    const report = describe(slot);
    this.#running.set(pid, { slot, report });
    this.#loop.add(pidfd, EPOLLIN, {
      onEvents: () => {
        this.#loop.remove(pidfd);
        close(pidfd);
        this.#running.delete(pid);
        this.#slots.release(slot.index);
        this.#changed({ ...report, ending: { ...UNKNOWN, atMs: Date.now() } });
      },
    });
    if (outlives) return;
    this.ended++;
    kill(-pid, SIGKILL);
  }
}

/** Whether what runs as the slot's process is still its program: the leader of a session, started then. */
function isOf({ pid, startedMs }: Slot): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const began = Number(fields[START_FIELD]) * TICK_MS;
    const isThen = startedMs >= began && startedMs - began < LATE_MS;
    return isThen && Number(fields[SESSION_FIELD]) === pid;
  } catch {
    return false;
  }
}

function describe({ index, pid, outlives, startedMs }: Slot): ProgramReport {
  const words = readText(pid, "cmdline").split("\0").slice(0, -1);
  const uid = Number(/^Uid:\t(\d+)/m.exec(readText(pid, "status"))?.[1] ?? -1);
  return {
    keeper: process.pid,
    // Not a number that a program of this keeper has.
    id: -1 - index,
    pid,
    uid,
    peer: "nobody: its keeper was killed",
    words,
    startedMs: Date.now() - (bootTimeMs() - startedMs),
    bytesIn: 0,
    bytesOut: 0,
    connected: false,
    outlives,
  };
}

function readText(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8").slice(0, 4096);
  } catch {
    return "";
  }
}
