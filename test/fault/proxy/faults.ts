/** What the proxy can do to connections, as its commands and its reports say it. */

export type Toward = "server" | "client";

/** How a listener behaves while the link is down. */
export type Down =
  /** Nobody listens: ECONNREFUSED. */
  | "refuse"
  /** Connections are accepted and closed at once. */
  | "drop"
  /** Connections are accepted, and nothing moves on them until the link is up; then they end. */
  | "silence";

/** Cuts end every connection that there is; with `downMs` the link stays down that long. */
interface Ending {
  /** `reset` ends TCP connections by RST, `end` as a close(2) does. */
  how: "reset" | "end";
  downMs: number;
  down: Down;
}

export type ProxyFault =
  /** Ends all connections at once, wherever in a frame they are. */
  | ({ fault: "cut" } & Ending)
  /** Lets the next frame pass in part, then ends all connections. */
  | ({ fault: "truncate"; toward: Toward } & Ending)
  /** Spoils the prefix of the next frame so that its receiver must notice. */
  | { fault: "corrupt"; toward: Toward; what: "kind" | "header" | "payload" }
  /** Nothing moves in a direction and nothing closes, for a time; then all goes on, or ends. */
  | { fault: "stall"; toward: Toward | "both"; forMs: number; after: "go on" | "cut" }
  /** A second connection to the server says what the client said first, and stays for a time. */
  | { fault: "duplicate"; forMs: number }
  /** Everything takes longer, for a time. */
  | { fault: "delay"; delayMs: number; forMs: number }
  /** Few bytes pass at a time, for a time. */
  | { fault: "trickle"; bytesPerMs: number; forMs: number };

/** A line on the proxy's standard input. */
export type Command = ProxyFault & { id: number };

/** A line on its standard output; the first is `listening`. */
export interface Report {
  /** When (clock.ts). */
  atMs: number;
  /** Of the command; 0 for what happened by itself. */
  id: number;
  event: "listening" | "begin" | "end";
  /** For people. */
  text: string;
  /** Requests that have been seen and whose answers have not. */
  outstanding: number;
}

/** One line for people. */
export function describeFault(fault: ProxyFault): string {
  const { fault: name, ...rest } = fault;
  const words = Object.entries(rest).filter(([key]) => key !== "id");
  return [name, ...words.map(([key, value]) => `${key}=${value}`)].join(" ");
}
