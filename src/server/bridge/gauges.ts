/** What the bridge has at the moment, for `qtfs info`: told soon after anything has happened. */
import type { Loop } from "../../bridge/loop.ts";
import type { Counters } from "../../info/counters.ts";
import type { BridgeSession } from "./session.ts";

/** How long after anything has happened the gauges are refreshed. */
const GAUGES_MS = 500;

/** What is counted. */
export interface Counted {
  sessions(): Iterable<BridgeSession>;
  /** Keys, and streams that wait for room in a listener's queue. */
  keys(): number;
  waiting(): number;
}

export class BridgeGauges {
  readonly #loop: Loop;
  readonly #counters: Counters;
  readonly #counted: Counted;
  /** Bytes of sessions that have ended. */
  #endedIn = 0;
  #endedOut = 0;
  /** What has moved when the gauges were refreshed; and that they are to be. */
  #gauged = -1;
  #refreshes = false;

  constructor(loop: Loop, counters: Counters, counted: Counted) {
    this.#loop = loop;
    this.#counters = counters;
    this.#counted = counted;
    loop.beforeSleep(() => this.#look());
  }

  ended({ end }: BridgeSession): void {
    this.#endedIn += end.bytesReceived;
    this.#endedOut += end.bytesSent;
  }

  #look(): boolean {
    if (!this.#refreshes && this.#moved() !== this.#gauged) {
      this.#refreshes = true;
      this.#loop.after(GAUGES_MS, () => this.#refresh());
    }
    return false;
  }

  /** A number that changes with everything that the gauges tell. */
  #moved(): number {
    let moved = this.#counted.keys() + this.#endedIn;
    for (const { end } of this.#counted.sessions()) moved += 1 + end.bytesReceived + end.bytesSent;
    return moved;
  }

  #refresh(): void {
    this.#refreshes = false;
    this.#gauged = this.#moved();
    const ends = [...this.#counted.sessions()].map(({ end }) => end);
    const sum = (of: "streams" | "bytesReceived" | "bytesSent") =>
      ends.reduce((total, end) => total + end[of], 0);
    const counters = this.#counters;
    counters.gauge("BRIDGES", ends.length);
    counters.gauge("STREAMS", sum("streams"));
    counters.gauge("STREAMS_WAITING", this.#counted.waiting());
    counters.gauge("TWINS", this.#counted.keys());
    counters.gauge("STREAM_BYTES_IN", this.#endedIn + sum("bytesReceived"));
    counters.gauge("STREAM_BYTES_OUT", this.#endedOut + sum("bytesSent"));
  }
}
