/** Messages about FIFOs between the mount's thread and the twin process: see channel.ts. */
import type { Node } from "./channel.ts";

/** From the mount's thread. */
export type FifoToTwins =
  /** A thread is about to open a FIFO, and waits until it is let: answered by "fifoLet". */
  {
    kind: "fifoOpens";
    id: number;
    channel: number;
    node: Node;
    tid: number;
    /** What the thread was in (opencall.ts: callText). */
    text: string;
    reads: boolean;
    writes: boolean;
    waits: boolean;
    unknown: boolean;
  };

/** From the twin process. */
export type FifoFromTwins = { kind: "fifoLet"; id: number };
