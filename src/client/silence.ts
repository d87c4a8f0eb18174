/** How long the server has said nothing while something is asked of it. */

const NS_PER_MS = 1e6;
/** Part of the bound after which a silent server is asked whether it is there. */
const PROBE_SHARE = 3;

/** What is to be done about a silence. */
export const Verdict = { NOTHING: 0, PROBE: 1, GIVE_UP: 2 } as const;

export class Silence {
  readonly #boundMs: number;
  /** Since when; 0 until it is next looked at. */
  #sinceNs = 0;
  #probed = false;
  /** The silence has lasted longer than the bound. */
  tooLong = false;

  /** `boundMs`: 0 for none. */
  constructor(boundMs: number) {
    this.#boundMs = boundMs;
  }

  /** The server said something, or nothing is asked of it; true when that ends a long silence. */
  broken(): boolean {
    this.#sinceNs = 0;
    const ends = this.tooLong;
    this.tooLong = false;
    return ends;
  }

  /** A silence that goes on counts from now on only: we were away ourselves. */
  restart(nowNs: number): void {
    this.#sinceNs = nowNs;
  }

  /** To be called often while something is asked; marks where a silence begins. */
  begin(nowNs: number): void {
    if (this.#sinceNs !== 0) return;
    this.#sinceNs = nowNs;
    this.#probed = false;
  }

  /** What the silence asks for by now. */
  judge(nowNs: number): number {
    const lastedMs = (nowNs - this.#sinceNs) / NS_PER_MS;
    if (this.#boundMs === 0) return Verdict.NOTHING;
    if (lastedMs > this.#boundMs) return Verdict.GIVE_UP;
    return lastedMs > this.#boundMs / PROBE_SHARE && !this.#probed
      ? Verdict.PROBE
      : Verdict.NOTHING;
  }

  /** The server was asked whether it is there. */
  probed(): void {
    this.#probed = true;
  }
}
