/**
 * Users whose programs do not begin: what has to be opened for one (a script's interpreter, its
 * directory) may lie on a file system of theirs that does not answer, and the keeper waits for it
 * itself. So it does not wait for long, and does it again only after a while.
 */

/** How long a program of another user than root may take until it runs. */
export const USER_START_MS = 3000;
/** How long none is begun for one of whom another did not begin. */
const PAUSE_MS = 60_000;

export class Stalls {
  /** When each may try again (performance.now()). */
  readonly #untilMs = new Map<number, number>();

  /** A program of `uid` did not begin. */
  note(uid: number): void {
    const nowMs = performance.now();
    for (const [one, untilMs] of this.#untilMs) if (untilMs <= nowMs) this.#untilMs.delete(one);
    this.#untilMs.set(uid, nowMs + PAUSE_MS);
  }

  /** Whether none is begun for `uid` at the moment. */
  has(uid: number): boolean {
    const untilMs = this.#untilMs.get(uid);
    return untilMs !== undefined && untilMs > performance.now();
  }
}
