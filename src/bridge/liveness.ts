/**
 * What an end of a bridge session does by the clock: it acknowledges what it took in, and
 * gives up a connection on which the peer does not acknowledge what was sent.
 */
import type { Resumable } from "../session/resumable.ts";
import type { Loop } from "./loop.ts";

/** How long what was taken in may go without being acknowledged. */
const ACK_MS = 40;
/** How long a peer may say nothing while it owes an acknowledgement. */
const SILENCE_MS = 5000;

export class Liveness {
  readonly #loop: Loop;
  /** Called when the peer has been silent for too long. */
  readonly #silent: () => void;
  #cancelAck: (() => void) | undefined;
  #cancelSilence: (() => void) | undefined;

  constructor(loop: Loop, silent: () => void) {
    this.#loop = loop;
    this.#silent = silent;
  }

  /** To be called after anything was received or sent over the connection of `resumable`. */
  watch(resumable: Resumable): void {
    if (this.#cancelAck === undefined && resumable.owesAck) {
      this.#cancelAck = this.#loop.after(ACK_MS, () => {
        this.#cancelAck = undefined;
        resumable.acknowledge();
      });
    }
    if (this.#cancelSilence !== undefined || resumable.unacknowledged === 0) return;
    const { bytesReceived } = resumable;
    this.#cancelSilence = this.#loop.after(SILENCE_MS, () => {
      this.#cancelSilence = undefined;
      const isSilent = resumable.bytesReceived === bytesReceived;
      if (isSilent && resumable.unacknowledged > 0) this.#silent();
    });
  }

  /** There is no connection any more. */
  stop(): void {
    this.#cancelAck?.();
    this.#cancelSilence?.();
    this.#cancelAck = undefined;
    this.#cancelSilence = undefined;
  }
}
