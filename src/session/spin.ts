/**
 * How long a reactor looks again before it sleeps. A wake-up from another core
 * costs more than a request (bun-techniques §1), so after any work it looks for
 * SPIN_NS more, giving the core away each time; then it sleeps in poll(2).
 */
import { schedYield } from "../sys/poll.ts";

const SPIN_NS = 50_000;

export class Spin {
  #until = 0;

  /** Work was found: look on from now. */
  worked(): void {
    this.#until = 0;
  }

  /** Nothing was found: true to look again, false to sleep. */
  again(): boolean {
    const now = Bun.nanoseconds();
    if (this.#until === 0) this.#until = now + SPIN_NS;
    if (now >= this.#until) {
      this.#until = 0;
      return false;
    }
    schedYield();
    return true;
  }
}
