/** What the parts of the server's end of a FIFO share (end.ts). */
import type { FifoLine } from "../../../bridge/fifoline.ts";
import type { Loop } from "../../../bridge/loop.ts";
import type { OwnEnd } from "../../../bridge/ownend.ts";
import type { Comers } from "./comers.ts";
import type { Partners, Wait } from "./partners.ts";

export const Mode = {
  OFF: "off",
  READING: "reading",
  GIVING: "giving",
  GIVEN: "given",
  AWAITING: "awaiting",
  WRITING: "writing",
  DRAINING: "draining",
} as const;

export type Mode = (typeof Mode)[keyof typeof Mode];

export interface FifoEndOptions {
  readonly loop: Loop;
  readonly partners: Partners;
  readonly comers: Comers;
  /** A path to the HOST's FIFO, good while the end lives: /proc/self/fd/N of an O_PATH descriptor. */
  readonly path: string;
  readonly log: (text: string) => void;
  /** Readers of this client's have it open from now on. */
  readonly reads: () => void;
  /** Nothing is open any more. */
  readonly ended: () => void;
}

export interface EndParts {
  readonly options: FifoEndOptions;
  readonly line: FifoLine;
  mode: Mode;
  /** The end that is open. */
  readonly end: OwnEnd;
  readonly isOver: boolean;
  /** What of others is waited for. */
  wait: Wait | undefined;
  /** Calls `then` once nobody is waited for any more; `came` as for Wait.cancel. */
  unwait(then: (came: boolean | undefined) => void): void;
  /** Opens the FIFO, without blocking: a descriptor or -errno. */
  open(flags: number): number;
  /** The end that is open is `fd` from now on, or there is none: false. */
  replace(fd: number): boolean;
  /** It cannot be opened: the stream is of no use. */
  fail(errno: number): void;
}
