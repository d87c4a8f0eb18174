/**
 * What a thread of the server says to the bridge. All threads use one descriptor: a message of
 * a SEQPACKET connection is whole. What was sent is the bridge's even if the server is killed
 * the next moment: so a key is sent before its client hears of it.
 */
import { sendMessage } from "../../keeper/channel.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { POLLOUT, PollSet } from "../../sys/poll.ts";
import type { ToBridge } from "./messages.ts";

/** How long a thread waits for a bridge in the place of one that was killed, or for room. */
const WAIT_MS = 1000;
/** The word that counts bridges. */
const GENERATION = 0;

/** In shared memory: how many bridges have had the descriptor. */
export class BridgeGeneration {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(shared = new SharedArrayBuffer(4)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
  }

  get value(): number {
    return Atomics.load(this.#words, GENERATION);
  }

  /** There is another one. */
  renewed(): void {
    Atomics.add(this.#words, GENERATION, 1);
    Atomics.notify(this.#words, GENERATION);
  }

  /** Waits while it is `value`, not for long. */
  await(value: number): void {
    Atomics.wait(this.#words, GENERATION, value, WAIT_MS);
  }
}

export class BridgeSender {
  readonly #fd: number;
  readonly #generation: BridgeGeneration;
  readonly #polls = new PollSet(1);
  #waiting: string[] = [];

  /** `fd`: the same number for every bridge. */
  constructor(fd: number, generation: BridgeGeneration) {
    this.#fd = fd;
    this.#generation = generation;
  }

  /**
   * Says `message`, with the descriptor `beside`, which is closed here then; false where the
   * bridge has taken nothing for WAIT_MS, and `beside` stays the caller's.
   */
  offer(message: ToBridge, beside: number): boolean {
    return this.flush() && this.#push(JSON.stringify(message), beside, true);
  }

  /** Says `message`, later if that cannot be now: `flush`. */
  tell(message: ToBridge): void {
    const text = JSON.stringify(message);
    if (!this.flush() || !this.#push(text, -1, false)) this.#waiting.push(text);
  }

  /** Says what waits here; whether nothing does any more. */
  flush(): boolean {
    let told = 0;
    for (const text of this.#waiting) {
      if (!this.#push(text, -1, false)) break;
      told++;
    }
    if (told > 0) this.#waiting = this.#waiting.slice(told);
    return this.#waiting.length === 0;
  }

  #push(text: string, beside: number, waits: boolean): boolean {
    const generation = this.#generation.value;
    let sent = sendMessage(this.#fd, text, beside);
    if (waits && sent < 0) {
      if (sent === -E.EAGAIN || sent === -E.ENOBUFS) this.#awaitRoom();
      else this.#generation.await(generation);
      sent = sendMessage(this.#fd, text, beside);
    }
    if (sent < 0) return false;
    if (beside >= 0) close(beside);
    return true;
  }

  #awaitRoom(): void {
    this.#polls.clear();
    this.#polls.add(this.#fd, POLLOUT);
    this.#polls.wait(WAIT_MS);
  }
}
