/**
 * Files that clients wait for: kept in the reactor's own poll set until ready.
 *
 * Some files tell of an event once, to whoever polls them first (psi_trigger_poll,
 * mounts_poll): what the reactor finds is kept for the POLL that its client sends
 * when it is told. Others tell of it until they are read (kernfs_generic_poll): whoever
 * waits for the edges was told, and is told of the next one after that.
 */
import { PollSet } from "../sys/poll.ts";
import { POLLS_MAX, WAITS_MAX } from "../wire/limits.ts";
import type { Session } from "./session.ts";

interface Watch {
  readonly session: Session;
  readonly handle: number;
  readonly fd: number;
  readonly events: number;
  readonly high: number;
  readonly low: number;
  /** Events that the client knows of, which the file tells of until it is read. */
  told: number;
  /** Whether nothing else is to be expected until then. */
  sleeps: boolean;
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
export const WATCHES_MAX = 4 * POLLS_MAX;

export class Polls {
  readonly #once = new PollSet(1);
  #watches: Watch[] = [];
  #sleeping = 0;
  #waits: Wait[] = [];

  /** Events of `events` that `fd` has now; 0 or -errno. */
  now(fd: number, events: number): number {
    this.#once.clear();
    this.#once.add(fd, events);
    const result = this.#once.wait(0);
    return result <= 0 ? result : this.#once.revents(0);
  }

  /** Events of `events` that the reactor has found and `fd` may not have any more. */
  take(session: Session, handle: number, events: number): number {
    const { found } = session.attached;
    const kept = found.get(handle);
    if (kept === undefined) return 0;
    found.delete(handle);
    return kept & events;
  }

  /**
   * Sends POLL_READY with `high:low` once the file of `handle` has one of `events`, or
   * of those that were watched for under that number before; of those `told` only after
   * it was read. False when full.
   */
  watch(
    session: Session,
    handle: number,
    events: number,
    told: number,
    high: number,
    low: number,
  ): boolean {
    const fd = session.attached.handles.fd[handle] as number;
    const same = this.#watches.findIndex(
      (w) => w.session === session && w.high === high && w.low === low,
    );
    const before = this.#watches[same];
    if (before !== undefined) this.#wake(before);
    const all = events | (before?.events ?? 0);
    const watch = { session, handle, fd, events: all, high, low, told, sleeps: false, index: -1 };
    if (same >= 0) {
      this.#watches[same] = watch;
      return true;
    }
    const own = this.#watches.filter((w) => w.session === session).length;
    if (own >= POLLS_MAX || this.size >= WATCHES_MAX) return false;
    this.#watches.push(watch);
    return true;
  }

  /** The file of `handle` was read: what it tells of from now on is new. */
  read(session: Session, handle: number): void {
    if (this.#watches.length === 0) return;
    for (const watch of this.#watches) {
      if (watch.session !== session || watch.handle !== handle) continue;
      watch.told = 0;
      this.#wake(watch);
    }
  }

  /** The handle is released. */
  drop(session: Session, handle: number): void {
    session.attached.found.delete(handle);
    if (this.#watches.length === 0) return;
    this.#watches = this.#watches.filter((watch) => {
      const isOther = watch.session !== session || watch.handle !== handle;
      if (!isOther) this.#wake(watch);
      return isOther;
    });
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
      const away = watch.session.transport.closed || watch.sleeps;
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
    if (this.#watches.length === this.#sleeping) return;
    this.#watches = this.#watches.filter((watch) => !this.#isOver(watch, set));
  }

  /** Whether the client of `watch` was told, or is there no more. */
  #isOver(watch: Watch, set: PollSet): boolean {
    const { session, handle } = watch;
    if (!session.tree?.handles.has(handle)) {
      this.#wake(watch);
      return true;
    }
    const revents = watch.index < 0 ? 0 : set.revents(watch.index);
    if (revents === 0) return false;
    if ((revents & ~watch.told) === 0) {
      watch.sleeps = true;
      this.#sleeping++;
      return false;
    }
    const { found } = session.tree;
    found.set(handle, (found.get(handle) ?? 0) | revents);
    if (session.transport.closed || session.transport.congested) return false;
    session.sendWakeup(watch.high, watch.low);
    session.transport.flush();
    return true;
  }

  #wake(watch: Watch): void {
    if (watch.sleeps) this.#sleeping--;
    watch.sleeps = false;
  }

  get size(): number {
    return this.#watches.length + this.#waits.length;
  }
}
