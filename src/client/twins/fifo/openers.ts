/**
 * Threads that are about to open FIFOs: from when their request is held until they are not in
 * that system call any more, having opened the FIFO or given up. No event tells that a signal
 * ended a wait in open(2), so they are looked at; that a process has ended is told (pidfd).
 */
import type { Loop } from "../../../bridge/loop.ts";
import { EPOLLIN } from "../../../sys/epoll.ts";
import { close } from "../../../sys/open.ts";
import { pidfdOpen } from "../../../sys/process.ts";
import { callText } from "./opencall.ts";

/** From one look to the next, at first and in the end; with many of them, a ms for each. */
const LOOK_FIRST_MS = 1;
const LOOK_LAST_MS = 100;

export interface PendingOpener {
  readonly id: number;
  readonly tid: number;
  /** The process, which is looked at for what it has open. */
  readonly pid: number;
  /** What the thread was in when it asked. */
  readonly text: string;
  reads: boolean;
  writes: boolean;
  readonly unknown: boolean;
}

interface Watched {
  readonly opener: PendingOpener;
  pidfd: number;
  gapMs: number;
  stop: () => void;
}

export class Openers {
  readonly #loop: Loop;
  readonly #watched = new Map<number, Watched>();
  readonly #done: (opener: PendingOpener) => void;

  /** `done`: the thread is not in that call any more. */
  constructor(loop: Loop, done: (opener: PendingOpener) => void) {
    this.#loop = loop;
    this.#done = done;
  }

  get size(): number {
    return this.#watched.size;
  }

  [Symbol.iterator](): IterableIterator<PendingOpener> {
    return [...this.#watched.values()].map(({ opener }) => opener).values();
  }

  add(opener: PendingOpener): void {
    const pidfd = pidfdOpen(opener.pid);
    const watched: Watched = { opener, pidfd, gapMs: LOOK_FIRST_MS, stop: () => {} };
    this.#watched.set(opener.id, watched);
    if (pidfd >= 0) this.#loop.add(pidfd, EPOLLIN, { onEvents: () => this.#look(watched) });
    this.#later(watched);
  }

  /** Looks at all of them now. */
  look(): void {
    for (const watched of [...this.#watched.values()]) this.#look(watched);
  }

  close(): void {
    for (const watched of this.#watched.values()) this.#forget(watched);
    this.#watched.clear();
  }

  #later(watched: Watched): void {
    watched.stop = this.#loop.after(watched.gapMs, () => this.#look(watched));
    const last = Math.max(LOOK_LAST_MS, this.#watched.size);
    watched.gapMs = Math.min(watched.gapMs * 2, last);
  }

  #look(watched: Watched): void {
    const { opener } = watched;
    if (this.#watched.get(opener.id) !== watched) return;
    watched.stop();
    const text = callText(opener.tid, 1);
    if (text === "running" || (text !== "" && text === opener.text)) {
      this.#later(watched);
      return;
    }
    this.#watched.delete(opener.id);
    this.#forget(watched);
    this.#done(opener);
  }

  #forget(watched: Watched): void {
    watched.stop();
    if (watched.pidfd < 0) return;
    this.#loop.remove(watched.pidfd);
    close(watched.pidfd);
    watched.pidfd = -1;
  }
}
