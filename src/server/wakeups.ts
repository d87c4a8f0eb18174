/**
 * POLL_READY events that a session's client was sent last, for those that were
 * lost on the way. Each was sent once for a watch; before its client has as many
 * new watches as fit here it must have had an answer, and all events before that.
 */
import { POLLS_MAX, SLOTS_MAX } from "../wire/limits.ts";

const REMEMBERED = POLLS_MAX + SLOTS_MAX;

export class Wakeups {
  /** Made when the first one is sent: few sessions poll. */
  #events: Float64Array | undefined;
  #numbers = new Uint32Array(0);
  #next = 0;

  /** The wakeup `high:low` was sent as EVENT frame number `event` (from 1). */
  sent(event: number, high: number, low: number): void {
    if (this.#events === undefined) {
      this.#events = new Float64Array(REMEMBERED);
      this.#numbers = new Uint32Array(2 * REMEMBERED);
    }
    const at = this.#next;
    this.#next = (at + 1) % REMEMBERED;
    this.#events[at] = event;
    this.#numbers[2 * at] = high;
    this.#numbers[2 * at + 1] = low;
  }

  /** Those sent after EVENT frame number `event`, oldest first; they are forgotten. */
  takeAfter(event: number): [high: number, low: number][] {
    const events = this.#events;
    const lost: [number, number][] = [];
    if (events === undefined) return lost;
    for (let i = 0; i < REMEMBERED; i++) {
      const at = (this.#next + i) % REMEMBERED;
      if ((events[at] as number) > event) {
        lost.push([this.#numbers[2 * at] as number, this.#numbers[2 * at + 1] as number]);
      }
    }
    events.fill(0);
    return lost;
  }
}
