/** One direction of a pump: from a descriptor into a stream, straight to where it is sent from. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { type BesideSource, isBeside, TAKEN, WAITS } from "./besidesource.ts";
import { unread } from "./pipeends.ts";
import { type Port, Shape } from "./port.ts";

/** Reads in a row, before others have their turn. */
const READS_MAX = 4;

/** Less than so much in a pipe is copied. */
const SPLICE_MIN = 32 * 1024;

export class Source {
  readonly #port: Port;
  readonly #beside: BesideSource | undefined;
  readonly #read: (address: number, max: number) => number;
  /** How much the last read could have taken. */
  #max = 0;
  #bytes = 0;
  /** What is read still. */
  #left = Number.POSITIVE_INFINITY;
  /** Nothing more comes, or is wanted. */
  isOver = false;
  /** The stream takes nothing now, or descriptors are on their way: it will be said when to go on. */
  blocked = false;

  constructor(port: Port, beside: BesideSource | undefined) {
    this.#port = port;
    this.#beside = beside;
    this.#read = (address, room) => {
      const max = Math.min(room, this.#left);
      this.#max = max;
      return beside === undefined ? port.read(address, max) : beside.read(address, max);
    };
  }

  /** Bytes that have gone to the stream. */
  get bytes(): number {
    return this.#bytes + (this.#beside?.bytes ?? 0);
  }

  /** It is over after so many bytes, whatever may come behind them. */
  endAfter(bytes: number): void {
    this.#left = bytes;
  }

  /** There is something to be read, and nothing out of band: until the next read that is so. */
  sawPlain(): void {
    if (this.#beside !== undefined) this.#beside.nextIsPlain = true;
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
    this.#beside?.prepare();
    if (this.#beside?.holds === true) {
      const result = this.#beside.sendHeld(stream);
      if (result !== TAKEN) return this.#wait(result);
    }
    for (let reads = 0; all || reads < READS_MAX; reads++) {
      if (this.#left === 0) {
        this.isOver = true;
        return 0;
      }
      const got = this.#splice(stream) ?? stream.fill(this.#read);
      if (got === undefined) return this.#wait(WAITS);
      if (got === 0) {
        this.isOver = true;
        return 0;
      }
      if (got > 0) {
        this.#bytes += got;
        this.#left -= got;
        // What is less than could be had was all, or more will be told of.
        if (!all && got < this.#max) return 0;
      } else if (isBeside(got)) {
        const result = this.#beside?.take(stream, got) ?? TAKEN;
        if (result !== TAKEN) return this.#wait(result);
      } else if (got === -E.EAGAIN) return 0;
      else if (got !== -E.EINTR) return -got;
    }
    return 0;
  }

  /** Moves pages of a pipe through which much goes: as `Stream.fillFromPipe`. */
  #splice(stream: Stream): number | undefined {
    const { shape, isWide, fd } = this.#port;
    if (!isWide || shape !== Shape.READ_END || this.#left !== Number.POSITIVE_INFINITY) {
      return undefined;
    }
    if (unread(fd) < SPLICE_MIN) return undefined;
    const got = stream.fillFromPipe(fd);
    // Whether that was all is not known; if not it will be told of.
    if (got !== undefined) this.#max = got;
    return got;
  }

  #wait(result: number): number {
    if (result !== WAITS) return result;
    this.blocked = true;
    return 0;
  }

  close(): void {
    this.isOver = true;
    this.#beside?.close();
  }
}
