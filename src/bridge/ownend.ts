/** One of our ends of a FIFO: its descriptor, and what of it is waited for. */

import { close } from "../sys/open.ts";
import type { Loop, Watched } from "./loop.ts";

const NONE = -1;

export class OwnEnd {
  readonly #loop: Loop;
  readonly #watcher: Watched;
  #isWatched = false;
  fd = NONE;

  constructor(loop: Loop, onEvents: (events: number) => void) {
    this.#loop = loop;
    this.#watcher = { onEvents };
  }

  get isOpen(): boolean {
    return this.fd >= 0;
  }

  /** Waits for EPOLL* `events`; with 0 for errors and hang-ups alone. */
  watch(events: number): void {
    if (this.fd < 0) return;
    if (this.#isWatched) this.#loop.modify(this.fd, events);
    else this.#loop.add(this.fd, events, this.#watcher);
    this.#isWatched = true;
  }

  unwatch(): void {
    if (this.#isWatched) this.#loop.remove(this.fd);
    this.#isWatched = false;
  }

  close(): void {
    this.unwatch();
    if (this.fd >= 0) close(this.fd);
    this.fd = NONE;
  }
}
