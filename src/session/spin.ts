/**
 * How long a reactor looks again before it sleeps. A wake-up from another core
 * costs more than a request (bun-techniques §1), so after any work it looks for
 * SPIN_NS more, giving the core away each time; then it sleeps in poll(2).
 *
 * A thrifty one, whose machine has better to do, looks on only while that pays: two times of
 * three something must have come. Otherwise it sleeps at once, but for every PROBE-th time.
 */
import { schedYield } from "../sys/poll.ts";

const SPIN_NS = 50_000;
const PROBE = 16;
/** What has paid adds one, what has not takes two away; it looks on from half of the most on. */
const SCORE_MAX = 16;

export class Spin {
  readonly #isThrifty: boolean;
  /** Whether work was found since it was last looked for in vain. */
  #isFresh = true;
  #until = 0;
  #score = SCORE_MAX;
  #rests = 0;

  constructor(isThrifty = false) {
    this.#isThrifty = isThrifty;
  }

  /** Whether it looks on after work. */
  get pays(): boolean {
    return !this.#isThrifty || this.#score >= SCORE_MAX / 2;
  }

  /** Work was found: look on from now. */
  worked(): void {
    if (this.#until !== 0 && this.#score < SCORE_MAX) this.#score++;
    this.#until = 0;
    this.#isFresh = true;
  }

  /** Nothing was found: true to look again, false to sleep. */
  again(): boolean {
    const now = Bun.nanoseconds();
    if (this.#until === 0) {
      if (!this.#begins()) return false;
      this.#until = now + SPIN_NS;
    }
    if (now >= this.#until) {
      this.#until = 0;
      this.#score = Math.max(0, this.#score - 2);
      return false;
    }
    schedYield();
    return true;
  }

  #begins(): boolean {
    const isFresh = this.#isFresh;
    this.#isFresh = false;
    if (!isFresh || this.pays) return isFresh;
    this.#rests = (this.#rests + 1) % PROBE;
    return this.#rests === 0;
  }
}
