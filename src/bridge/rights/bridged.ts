/** What is at an end of a stream of kind DESCRIPTOR. */
import type { Stream, StreamHandler } from "../../session/stream.ts";

export interface Bridged extends StreamHandler {
  /** Begins with the stream that it handles. */
  start(stream: Stream): void;
  /** Gives up: the peer is told `errno`, what is open here is closed. */
  close(errno: number): void;
}

/** What becomes of a descriptor that arrives. */
export interface Arriving {
  /** Whether there is room for so many bytes of memory until somebody gets it. */
  reserve(bytes: number): boolean;
  /** It is there, and the callee's. */
  ready(fd: number): void;
  /** Its stream has ended; nobody is to get it any more. */
  gone(): void;
  /** This end of its stream is closed. */
  ended(): void;
}
