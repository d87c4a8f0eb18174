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

/** A request that waits for a file. */
interface Wait {
  readonly session: Session;
  readonly fd: number;
  readonly events: number;
  /** Makes it the request being served again, and goes on with it. */
  readonly goOn: () => void;
  index: number;
}

/** Watches and waits of all sessions of one reactor. */
export const WATCHES_MAX = 1024;

export class Polls {
  readonly #once = new PollSet(1);
  #watches: Watch[] = [];
  #waits: Wait[] = [];

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
    if (own >= WAITS_MAX || this.size >= WATCHES_MAX) return false;
    this.#watches.push(watch);
    return true;
  }

  /**
   * Defers the request that `session` is serving until `fd` has one of `events` or it is
   * cancelled, and then calls `goOn`. False when there are too many.
   */
  wait(
    session: Session,
    fd: number,
    events: number,
    goOn: (isCancelled: boolean) => void,
  ): boolean {
    if (session.waiting >= WAITS_MAX || this.size >= WATCHES_MAX) return false;
    const end = (isCancelled: boolean) => {
      this.#waits = this.#waits.filter((one) => one !== wait);
      resume();
      goOn(isCancelled);
    };
    const wait: Wait = { session, fd, events, goOn: () => end(false), index: -1 };
    const resume = session.defer(() => end(true));
    this.#waits.push(wait);
    return true;
  }

  /** Adds every watched file to the reactor's poll set. */
  addTo(set: PollSet): void {
    for (const watch of this.#watches) {
      // Whoever has no connection is told when there is one again.
      const away = watch.session.transport.closed;
      watch.index = away ? -1 : set.add(watch.fd, watch.events);
    }
    for (const wait of this.#waits) {
      const away = wait.session.transport.closed;
      wait.index = away ? -1 : set.add(wait.fd, wait.events);
    }
  }

  /** Tells the clients what the reactor's poll has found ready. */
  deliver(set: PollSet): void {
    for (const { index, session, goOn } of this.#waits) {
      if (index < 0 || set.revents(index) === 0) continue;
      if (!session.transport.closed && !session.transport.congested) goOn();
    }
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
    return this.#watches.length + this.#waits.length;
  }
}
