/** Ends of the processes that watch something, by a pidfd each (pidfd_open(2)). */
import { close } from "../../sys/open.ts";
import { POLLIN, type PollSet } from "../../sys/poll.ts";
import { pidfdOpen } from "../../sys/process.ts";

/** Processes that are waited for; that others have ended is found when all are looked at. */
export const WATCHERS_MAX = 512;

export class WatchEnds {
  readonly #fds = new Map<number, number>();
  /** Index in the poll set, by process. */
  readonly #indices = new Map<number, number>();

  /** Waits for the end of `pids`, and of no others. */
  set(pids: ReadonlySet<number>): void {
    for (const [pid, fd] of this.#fds) {
      if (pids.has(pid)) continue;
      close(fd);
      this.#fds.delete(pid);
    }
    for (const pid of pids) {
      if (this.#fds.has(pid) || this.#fds.size >= WATCHERS_MAX) continue;
      const fd = pidfdOpen(pid);
      if (fd >= 0) this.#fds.set(pid, fd);
    }
  }

  addTo(polls: PollSet): void {
    this.#indices.clear();
    for (const [pid, fd] of this.#fds) this.#indices.set(pid, polls.add(fd, POLLIN));
  }

  /** Processes that have ended, as the poll has found. */
  ended(polls: PollSet): number[] {
    return [...this.#indices].filter(([, at]) => polls.revents(at) !== 0).map(([pid]) => pid);
  }
}
