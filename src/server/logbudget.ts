/**
 * How much a thread may log on behalf of strangers. Whoever can connect can
 * cause lines without end; they go through the main thread's queue, which
 * nobody empties while it writes to a log that takes nothing.
 */

/** Lines at once, and how long it takes until one more may follow. */
const BURST = 20;
const REFILL_NS = 1e9;

export class LogBudget {
  #left = BURST;
  #refilledNs = 0;
  #dropped = 0;

  /** `text` as it is to be logged, telling of lines left out before; undefined: not now. */
  admit(text: string, nowNs = Bun.nanoseconds()): string | undefined {
    const refill = Math.floor((nowNs - this.#refilledNs) / REFILL_NS);
    if (refill > 0) {
      this.#left = Math.min(this.#left + refill, BURST);
      this.#refilledNs = nowNs;
    }
    if (this.#left === 0) {
      this.#dropped++;
      return undefined;
    }
    this.#left--;
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped === 0 ? text : `${text} (${dropped} more of such lines were left out before)`;
  }
}
