/** One direction of a pump: from a descriptor into a stream, straight to where it is sent from. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import type { Port } from "./port.ts";

/** Reads in a row, before others have their turn. */
const READS_MAX = 4;

export class Source {
  readonly #port: Port;
  readonly #read: (address: number, max: number) => number;
  /** How much the last read could have taken. */
  #max = 0;
  /** Bytes that have gone to the stream. */
  bytes = 0;
  /** Nothing more comes, or is wanted. */
  isOver = false;
  /** The stream takes nothing now; it will say when. */
  blocked = false;

  constructor(port: Port) {
    this.#port = port;
    this.#read = (address, max) => {
      this.#max = max;
      return this.#port.read(address, max);
    };
  }

  /**
   * Moves what is there, `all` of it or what is had in a few reads: 0, or the errno
   * for which the descriptor is of no use any more. Sets `isOver` at its end.
   */
  pull(stream: Stream, all: boolean): number {
    if (!stream.writable) {
      this.isOver = true;
      return 0;
    }
    for (let reads = 0; all || reads < READS_MAX; reads++) {
      const got = stream.fill(this.#read);
      if (got === undefined) {
        this.blocked = true;
        return 0;
      }
      if (got === 0) {
        this.isOver = true;
        return 0;
      }
      if (got === -E.EAGAIN) return 0;
      if (got < 0 && got !== -E.EINTR) return -got;
      if (got > 0) this.bytes += got;
      // What is less than could be had was all; more will be told of.
      if (!all && got < this.#max) return 0;
    }
    return 0;
  }
}
