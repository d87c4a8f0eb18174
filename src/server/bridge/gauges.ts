/** What the bridge has at the moment, for `qtfs info`: the server is told soon after anything has happened. */
import type { Loop } from "../../bridge/loop.ts";
import type { BridgeFigures } from "./messages.ts";
import type { BridgeSession } from "./session.ts";

/** How long after anything has happened the gauges are refreshed. */
const GAUGES_MS = 500;

/** What is counted. */
export interface Counted {
  sessions(): Iterable<BridgeSession>;
  /** Keys, and streams that wait for room in a listener's queue. */
  keys(): number;
  waiting(): number;
  /** Sessions that went on over another connection, and violations of the protocol, so far. */
  resumes(): number;
  protocolErrors(): number;
}

export class BridgeGauges {
  readonly #loop: Loop;
  readonly #counted: Counted;
  readonly #tell: (figures: BridgeFigures) => void;
  /** Bytes of sessions that have ended. */
  #endedIn = 0;
  #endedOut = 0;
  /** What has moved when the gauges were refreshed; and that they are to be. */
  #gauged = -1;
  #refreshes = false;

  /** `tell` hears of what has changed. */
  constructor(loop: Loop, counted: Counted, tell: (figures: BridgeFigures) => void) {
    this.#loop = loop;
    this.#tell = tell;
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
    const { keys, protocolErrors, resumes } = this.#counted;
    let moved = keys() + this.#endedIn + resumes() + protocolErrors();
    for (const { end } of this.#counted.sessions()) moved += 1 + end.bytesReceived + end.bytesSent;
    return moved;
  }

  #refresh(): void {
    this.#refreshes = false;
    this.#gauged = this.#moved();
    this.#tell(this.figures);
  }

  get figures(): BridgeFigures {
    const { keys, protocolErrors, resumes, sessions, waiting } = this.#counted;
    const ends = [...sessions()].map(({ end }) => end);
    const sum = (of: "streams" | "bytesReceived" | "bytesSent") =>
      ends.reduce((total, end) => total + end[of], 0);
    return {
      BRIDGES: ends.length,
      STREAMS: sum("streams"),
      STREAMS_WAITING: waiting(),
      TWINS: keys(),
      STREAM_BYTES_IN: this.#endedIn + sum("bytesReceived"),
      STREAM_BYTES_OUT: this.#endedOut + sum("bytesSent"),
      STREAM_RESUMES: resumes(),
      PROTOCOL_ERRORS: protocolErrors(),
    };
  }
}
