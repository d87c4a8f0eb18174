/** How long the server has said nothing while something is asked of it. */

const NS_PER_MS = 1e6;
/** How long until a silent server is asked whether it is there, at most; and a part of the bound. */
const PROBE_MS = 250;
const PROBE_SHARE = 3;
/** How long until another connection to it is tried beside the silent one. */
const SUSPECT_MS = 500;
const SUSPECT_SHARE = 2;

/** What is to be done about a silence. */
export const Verdict = { NOTHING: 0, PROBE: 1, SUSPECT: 2, GIVE_UP: 3 } as const;

export class Silence {
  readonly #boundMs: number;
  readonly #probeMs: number;
  readonly #suspectMs: number;
  /** Since when; 0 until it is next looked at. */
  #sinceNs = 0;
  #probed = false;
  /** The silence has lasted longer than the bound. */
  tooLong = false;

  /** `boundMs`: 0 for none. */
  constructor(boundMs: number) {
    this.#boundMs = boundMs;
    const share = (ms: number, of: number) => (boundMs === 0 ? ms : Math.min(ms, boundMs / of));
    this.#probeMs = share(PROBE_MS, PROBE_SHARE);
    this.#suspectMs = share(SUSPECT_MS, SUSPECT_SHARE);
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
    this.#probed = false;
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
    if (this.#boundMs !== 0 && lastedMs > this.#boundMs) return Verdict.GIVE_UP;
    if (!this.#probed) return lastedMs > this.#probeMs ? Verdict.PROBE : Verdict.NOTHING;
    return lastedMs > this.#suspectMs ? Verdict.SUSPECT : Verdict.NOTHING;
  }

  /** The server was asked whether it is there. */
  probed(): void {
    this.#probed = true;
  }
}
