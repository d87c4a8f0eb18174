/** Messages about FIFOs between the mount's thread and the twin process: see channel.ts. */

export type FifoToTwins = never;
export type FifoFromTwins = never;
