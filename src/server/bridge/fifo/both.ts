/**
 * Both ends of the HOST's FIFO, held while both are open on the DPU: whoever opens it on the
 * HOST finds the other end open, as in one kernel. That somebody does is told, where it can be.
 */

import type { Held } from "../../../bridge/holders.ts";
import { pollNow } from "../../../bridge/pipeends.ts";
import { close, O_RDONLY, O_WRONLY } from "../../../sys/open.ts";
import { POLLERR } from "../../../sys/poll.ts";
import type { EndParts } from "./parts.ts";

const NONE = -1;

export class BothEnds {
  readonly #parts: EndParts;
  readonly #came: (held: Held) => void;
  #write = NONE;
  #stop: (() => void) | undefined;

  /** `came`: a process of the HOST's has opened it, while both are held. */
  constructor(parts: EndParts, came: (held: Held) => void) {
    this.#parts = parts;
    this.#came = came;
  }

  get isHeld(): boolean {
    return this.#write >= 0;
  }

  /** Whether it is told who comes. */
  get isTold(): boolean {
    return this.#stop !== undefined;
  }

  /**
   * While our read end is open: closes it, and opens another one, unless somebody else reads.
   * The write end, if so, which is the caller's then; NONE: both are held; or -errno.
   */
  look(): number {
    const { comers, path } = this.#parts.options;
    // Ours reads: it does not fail for want of readers, and what is in the pipe stays there.
    if (this.#write < 0) this.#write = this.#parts.open(O_WRONLY);
    if (this.#write < 0) return this.#write;
    this.#stop ??= comers.watch(path, (held) => this.#came(held));
    this.#parts.end.close();
    if ((pollNow(this.#write) & POLLERR) === 0) {
      const fd = this.#write;
      this.#write = NONE;
      this.letGo();
      return fd;
    }
    this.#parts.replace(this.#parts.open(O_RDONLY));
    return NONE;
  }

  /** Closes the write end. */
  letGo(): void {
    this.#stop?.();
    this.#stop = undefined;
    if (this.#write >= 0) close(this.#write);
    this.#write = NONE;
  }
}
