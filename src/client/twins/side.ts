/** What the parts of the twin process share. */
import type { BridgeEnd } from "../../bridge/end.ts";
import type { Loop } from "../../bridge/loop.ts";
import type { DatagramPlaces } from "../../bridge/names.ts";
import type { FromTwins, Node } from "./channel.ts";
import type { Doorman } from "./doorman.ts";
import type { Pumps } from "./pumps.ts";

/** The server's answer to `ask`: an errno, or 0 and numbers. */
export type Answered = (errno: number, results: readonly number[]) => void;

/** What the server is asked with: a number, a node, or bytes as text (a byte a character). */
export type Argument = number | Node | string;

export interface TwinSide {
  readonly loop: Loop;
  readonly doorman: Doorman;
  /** The bridge session; there is one from the first message of the reactor on. */
  readonly end: BridgeEnd;
  readonly pumps: Pumps;
  /** Sockets of datagrams that are served here, by the HOST's paths. */
  readonly places: DatagramPlaces;
  /** Says something to the mount's thread. */
  tell(message: FromTwins): void;
  /** Asks the server operation `op` (wire/ops.ts), as a request of the mount's session. */
  ask(op: number, args: Argument[], answered: Answered): void;
  /** Where a path of the HOST's is here, and the reverse; "" for one that is not in the mount. */
  pathHere(path: string): string;
  pathThere(path: string): string;
  log(level: "info" | "warn" | "error", text: string): void;
}
