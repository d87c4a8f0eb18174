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
  /** Lookups that the kernel counts and the server does not, by node. */
  readonly #uncounted = new Map<string, number>();

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** Whether there are enough for a whole message. */
  get isMessage(): boolean {
    return this.#count >= GATHERED;
  }

  /** The kernel was given a node by an answer that the server has not counted as a lookup. */
  uncounted(high: number, low: number): void {
    const key = `${high}:${low}`;
    this.#uncounted.set(key, (this.#uncounted.get(key) ?? 0) + 1);
  }

  add(high: number, low: number, forgotten: number): void {
    const lookups = this.#uncounted.size === 0 ? forgotten : this.#counted(high, low, forgotten);
    if (lookups === 0) return;
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

  /** Of lookups that are forgotten, those that the server has counted. */
  #counted(high: number, low: number, forgotten: number): number {
    const key = `${high}:${low}`;
    const uncounted = Math.min(this.#uncounted.get(key) ?? 0, forgotten);
    this.#uncounted.delete(key);
    return forgotten - uncounted;
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
    this.#uncounted.clear();
    this.#count = 0;
  }
}
