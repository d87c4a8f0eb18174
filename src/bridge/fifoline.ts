/**
 * The stream of a FIFO, for either end: words (FifoWord) and data, in the order in which they
 * are said, whatever the connection takes at the moment.
 */
import type { Stream, StreamHandler } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { ProtocolError } from "../wire/error.ts";
import { OutOfBand } from "../wire/streams.ts";

/** Who has the end of the line. */
export interface FifoListener {
  onWord(word: number): void;
  /** Bytes have come, at `address`, good during the call; `consumed` gives their credit back. */
  onBytes(bytes: Uint8Array, address: number): void;
  /** There is room again, after `pull` could not read. */
  onRoom(): void;
  /** The stream is over: nothing can be said any more, nothing comes. */
  onGone(errno: number): void;
}

/** What `pull` found. */
export const Pulled = {
  /** All there was. */
  ALL: 0,
  /** There may be more: others have their turn first. */
  SOME: 1,
  /** The stream takes nothing now: `onRoom` follows. */
  BLOCKED: 2,
  /** The end: nobody writes any more. */
  END: 3,
} as const;

/** Reads in a row, before others have their turn. */
const READS_MAX = 4;
/** What waits here to be said: residues of pipes, a few MiB, and words between them. */
type Said = number | Uint8Array;

export class FifoLine implements StreamHandler {
  readonly passes = true;
  readonly #listener: FifoListener;
  #stream: Stream | undefined;
  #waiting: Said[] = [];
  #isOver = false;
  #closed = () => {};
  /** Bytes each way. */
  received = 0;
  sent = 0;

  constructor(listener: FifoListener) {
    this.#listener = listener;
  }

  /** To be called with the stream whose handler this is; what was said before is said then. */
  start(stream: Stream): void {
    this.#stream = stream;
    this.#flush();
  }

  /** There is no stream to be had. */
  refused(errno: number): void {
    this.#gone(errno);
    this.onClosed();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Calls `fn` when the stream is over, or at once if it is. */
  whenClosed(fn: () => void): void {
    if (this.#isOver && this.#stream === undefined) fn();
    else this.#closed = fn;
  }

  /** Bytes that the peer lets us send now. */
  get credit(): number {
    return this.#stream?.credit ?? 0;
  }

  say(word: number): void {
    this.#push(word);
  }

  /** Sends `bytes`, which must not change any more. */
  send(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#push(bytes);
  }

  /**
   * Sends what `read` (a length, 0 at the end, or -errno) puts at an address: one of Pulled,
   * or -errno, EAGAIN left out.
   */
  pull(read: (address: number, max: number) => number): number {
    const stream = this.#stream;
    if (this.#isOver || stream === undefined) return Pulled.BLOCKED;
    for (let reads = 0; reads < READS_MAX; reads++) {
      if (this.#waiting.length > 0) return Pulled.BLOCKED;
      let room = 0;
      const got = stream.fill((address, max) => {
        room = max;
        return read(address, max);
      });
      if (got === undefined) return Pulled.BLOCKED;
      if (got === 0) return Pulled.END;
      if (got === -E.EAGAIN) return Pulled.ALL;
      if (got < 0) return got;
      this.sent += got;
      if (got < room) return Pulled.SOME;
    }
    return Pulled.SOME;
  }

  /** So many of the bytes that came have gone on. */
  consumed(bytes: number): void {
    if (!this.#isOver && bytes > 0) this.#stream?.consumed(bytes);
  }

  /** Ends the stream, as it should. */
  end(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#stream?.end();
  }

  /** Gives the stream up because of `errno`. */
  fail(errno: number): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#stream?.reset(errno);
    this.#closed();
    this.#closed = () => {};
  }

  onData(stream: Stream, bytes: Uint8Array, address: number): void {
    if (this.#isOver) {
      stream.consumed(bytes.length);
      return;
    }
    this.received += bytes.length;
    this.#listener.onBytes(bytes, address);
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    stream.consumed(0, 1);
    const word = bytes[0];
    if (type !== OutOfBand.FIFO || bytes.length !== 1 || word === undefined) {
      throw new ProtocolError(`message of type ${type} on the stream of a FIFO`);
    }
    if (!this.#isOver) this.#listener.onWord(word);
  }

  onEof(stream: Stream): void {
    this.#gone(0);
    stream.end();
  }

  onReset(_: Stream, errno: number): void {
    this.#gone(errno);
  }

  onWritable(): void {
    this.#flush();
    if (!this.#isOver && this.#waiting.length === 0) this.#listener.onRoom();
  }

  onClosed(): void {
    this.#gone(0);
    this.#closed();
    this.#closed = () => {};
  }

  #gone(errno: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#waiting = [];
    this.#listener.onGone(errno);
  }

  #push(said: Said): void {
    if (this.#isOver) return;
    this.#waiting.push(said);
    this.#flush();
  }

  #flush(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    for (let said = this.#waiting[0]; said !== undefined; said = this.#waiting[0]) {
      if (typeof said === "number") {
        if (!stream.sendOutOfBand(OutOfBand.FIFO, WORDS.subarray(said, said + 1))) return;
        this.#waiting.shift();
        continue;
      }
      const sent = stream.send(said);
      if (sent < 0) return;
      this.sent += sent;
      if (sent < said.length) {
        this.#waiting[0] = said.subarray(sent);
        return;
      }
      this.#waiting.shift();
    }
  }
}

/** Every word, as the byte that it is sent as. */
const WORDS = Uint8Array.from({ length: 256 }, (_, i) => i);
