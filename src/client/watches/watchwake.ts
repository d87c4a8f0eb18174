/**
 * Wakes the ghosts' thread when a program has begun to watch something with inotify(7), or
 * ended that: the kernel tells nobody, but who may trace it can have tracepoints say so.
 * They cost every system call of the machine 5 ns of 80 (getppid(2), measured).
 */
import { readFileSync } from "node:fs";
import { cstring } from "../../sys/cstring.ts";
import { mountNowhere } from "../../sys/detached.ts";
import { E } from "../../sys/errno.ts";
import { read } from "../../sys/io.ts";
import { allocate, free } from "../../sys/memory.ts";
import { close, O_CLOEXEC, O_RDONLY, openat } from "../../sys/open.ts";
import { PerfRing } from "../../sys/perf.ts";
import { POLLIN, type PollSet } from "../../sys/poll.ts";

const TRACEPOINTS = ["sys_exit_inotify_add_watch", "sys_exit_inotify_rm_watch"];
/** Tracepoints that are had, one for each CPU; a machine with more is looked at now and then. */
export const RINGS_MAX = 1024;

export class WatchWake {
  readonly #rings: readonly PerfRing[];

  private constructor(rings: readonly PerfRing[]) {
    this.#rings = rings;
  }

  /** Undefined where it cannot be had: without the right, or in a kernel without it. */
  static open(): WatchWake | undefined {
    const ids = TRACEPOINTS.map(tracepoint);
    const cpus = possibleCpus();
    const rings: PerfRing[] = [];
    for (const id of ids) {
      if (id === undefined || cpus * ids.length > RINGS_MAX) return undefined;
      for (let cpu = 0; cpu < cpus; cpu++) {
        const ring = PerfRing.open(id, cpu);
        // A CPU that is offline runs nothing.
        if (ring === -E.ENODEV) continue;
        if (typeof ring === "number") return undefined;
        rings.push(ring);
      }
    }
    return new WatchWake(rings);
  }

  addTo(polls: PollSet): void {
    for (const { fd } of this.#rings) polls.add(fd, POLLIN);
  }

  /** Processes that began or ended to watch something since the last call; undefined if any may have. */
  take(): Set<number> | undefined {
    const pids = new Set<number>();
    let isComplete = true;
    for (const ring of this.#rings) isComplete = ring.take(pids) && isComplete;
    return isComplete ? pids : undefined;
  }
}

/** The number of a system call's tracepoint, which is the running kernel's own. */
function tracepoint(name: string): number | undefined {
  const root = mountNowhere("tracefs");
  if (root < 0) return undefined;
  const fd = openat(root, cstring(`events/syscalls/${name}/id`), O_RDONLY | O_CLOEXEC, 0);
  close(root);
  if (fd < 0) return undefined;
  const text = allocate(64);
  const got = read(fd, text.address, text.size);
  close(fd);
  const id = Number(text.bytes.latin1Slice(0, Math.max(got, 0)));
  free(text);
  return id > 0 ? id : undefined;
}

/** CPUs that may ever be online: one more than the last of a list like `0-3`. */
function possibleCpus(): number {
  const list = readFileSync("/sys/devices/system/cpu/possible", "latin1");
  return Number(/(\d+)\s*$/.exec(list)?.[1] ?? 0) + 1;
}
