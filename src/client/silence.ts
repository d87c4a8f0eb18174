/** How long the server has said nothing while something is asked of it. */

const NS_PER_MS = 1e6;
/** How long until a silent server is asked whether it is there, at most; and a part of the bound. */
const PROBE_MS = 250;
const PROBE_SHARE = 3;
/** How long until another connection to it is tried beside the silent one. */
const SUSPECT_MS = 500;
const SUSPECT_SHARE = 2;
/** The same without a bound, at most. */
const SUSPECT_MAX_MS = 15_000;
/**
 * A silence that was suspected in vain and ended by itself shows how long one may
 * last: so many times as long, for a while.
 */
const PATIENCE = 2;
const REMEMBERED_NS = 60e9;

/** What is to be done about a silence. */
export const Verdict = { NOTHING: 0, PROBE: 1, SUSPECT: 2, GIVE_UP: 3 } as const;

export class Silence {
  readonly #boundMs: number;
  readonly #probeMs: number;
  readonly #suspectMs: number;
  readonly #suspectMaxMs: number;
  /** Suspicions in a row that were in vain: each doubles the patience. */
  #vain = 0;
  /** The longest silence of late that an answer ended, and when that was. */
  #longestMs = 0;
  #longestNs = 0;
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
    this.#suspectMaxMs = share(SUSPECT_MAX_MS, SUSPECT_SHARE);
  }

  /** The server said something, or nothing is asked of it; true when that ends a long silence. */
  broken(): boolean {
    if (this.#vain > 0 && this.#probed && this.#sinceNs !== 0) this.#remember(Bun.nanoseconds());
    this.#sinceNs = 0;
    this.#probed = false;
    const ends = this.tooLong;
    this.tooLong = false;
    return ends;
  }

  /** There is another connection: what was silent was the one before. True as `broken` is. */
  begunAnew(): boolean {
    this.#probed = false;
    return this.broken();
  }

  /** A request was answered, soon if nobody had to ask: the connection is as good as any. */
  progressed(): void {
    if (!this.#probed) this.#vain = 0;
  }

  #remember(nowNs: number): void {
    const lastedMs = (nowNs - this.#sinceNs) / NS_PER_MS;
    this.#vain = 0;
    if (lastedMs < this.#longestMs && nowNs - this.#longestNs < REMEMBERED_NS) return;
    this.#longestMs = lastedMs;
    this.#longestNs = nowNs;
  }

  /** Another connection was no better: the server, or the link, is slow. */
  suspectedInVain(): void {
    this.#vain++;
  }

  /** How long a silence may last until another connection is tried. */
  #patienceMs(nowNs: number): number {
    const isRecent = nowNs - this.#longestNs < REMEMBERED_NS;
    const longMs = isRecent ? PATIENCE * this.#longestMs : 0;
    const ms = Math.max(this.#suspectMs, longMs) * 2 ** Math.min(this.#vain, 10);
    return Math.min(ms, this.#suspectMaxMs);
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
    return lastedMs > this.#patienceMs(nowNs) ? Verdict.SUSPECT : Verdict.NOTHING;
  }

  /** The server was asked whether it is there. */
  probed(): void {
    this.#probed = true;
  }
}
