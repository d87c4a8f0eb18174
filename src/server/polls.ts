/** Files that clients wait for: kept in the reactor's own poll set until ready. */
import { PollSet } from "../sys/poll.ts";
import { WAITS_MAX } from "../wire/limits.ts";
import type { Session } from "./session.ts";

interface Watch {
  readonly session: Session;
  readonly handle: number;
  readonly fd: number;
  readonly events: number;
  readonly high: number;
  readonly low: number;
  /** Index in the poll set of the round under way. */
  index: number;
}

/** Watches of all sessions of one reactor. */
export const WATCHES_MAX = 1024;

export class Polls {
  readonly #once = new PollSet(1);
  #watches: Watch[] = [];

  /** Events of `events` that `fd` has now; 0 or -errno. */
  now(fd: number, events: number): number {
    this.#once.clear();
    this.#once.add(fd, events);
    const result = this.#once.wait(0);
    return result <= 0 ? result : this.#once.revents(0);
  }

  /** Sends POLL_READY with `high:low` once `fd` has one of `events`; false when full. */
  watch(
    session: Session,
    handle: number,
    fd: number,
    events: number,
    high: number,
    low: number,
  ): boolean {
    const same = this.#watches.findIndex(
      (w) => w.session === session && w.high === high && w.low === low,
    );
    const watch = { session, handle, fd, events, high, low, index: -1 };
    if (same >= 0) {
      this.#watches[same] = watch;
      return true;
    }
    const own = this.#watches.filter((w) => w.session === session).length;
    if (own >= WAITS_MAX || this.#watches.length >= WATCHES_MAX) return false;
    this.#watches.push(watch);
    return true;
  }

  /** Adds every watched file to the reactor's poll set. */
  addTo(set: PollSet): void {
    for (const watch of this.#watches) {
      // Whoever has no connection is told when there is one again.
      const away = watch.session.transport.closed;
      watch.index = away ? -1 : set.add(watch.fd, watch.events);
    }
  }

  /** Tells the clients what the reactor's poll has found ready. */
  deliver(set: PollSet): void {
    if (this.#watches.length === 0) return;
    this.#watches = this.#watches.filter((watch) => {
      const { session, handle } = watch;
      if (!session.tree?.handles.has(handle)) return false;
      if (watch.index < 0 || set.revents(watch.index) === 0) return true;
      if (session.transport.closed || session.transport.congested) return true;
      session.sendWakeup(watch.high, watch.low);
      session.transport.flush();
      return false;
    });
  }

  get size(): number {
    return this.#watches.length;
  }
}
