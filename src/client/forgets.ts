/** Lookups that the kernel has forgotten and the server is to be told of, many in one message. */
import { Oneway } from "../wire/ops.ts";
import type { Writer } from "../wire/writer.ts";

/** Forgets of one message, at most. */
const GATHERED = 128;
/** Numbers of a forget: the node's halves and how many lookups. */
const NUMBERS = 3;

export class Forgets {
  /** Grows only while there is no connection, or it takes nothing. */
  #numbers = new Float64Array(GATHERED * NUMBERS);
  #count = 0;

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Whether there are enough for a whole message. */
  get isMessage(): boolean {
    return this.#count >= GATHERED;
  }

  add(high: number, low: number, lookups: number): void {
    const at = this.#count * NUMBERS;
    if (at === this.#numbers.length) {
      const more = new Float64Array(2 * at);
      more.set(this.#numbers);
      this.#numbers = more;
    }
    this.#numbers[at] = high;
    this.#numbers[at + 1] = low;
    this.#numbers[at + 2] = lookups;
    this.#count++;
  }

  /** Writes the header of a message and takes what is in it off. */
  take(w: Writer): void {
    const count = Math.min(this.#count, GATHERED);
    w.array(2 + 2 * count);
    w.uint(Oneway.FORGET);
    w.uint(count);
    for (let i = 0; i < count; i++) {
      const at = --this.#count * NUMBERS;
      w.uint64(this.#numbers[at] as number, this.#numbers[at + 1] as number);
      w.uint(this.#numbers[at + 2] as number);
    }
  }

  clear(): void {
    this.#count = 0;
  }
}
