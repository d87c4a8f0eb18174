/** One byte stream: its two directions, its credit, and what it owes to the peer. */
import { STREAM_MESSAGES_MAX, STREAM_WINDOW } from "../wire/limits.ts";
import type { StreamSender } from "./streamsender.ts";

/**
 * Who uses a stream. Calls come from `Streams.receive` and `Streams.flush`; they
 * may send, end, reset and open streams themselves.
 */
export interface StreamHandler {
  /** Whether what comes for it is served while the other streams of the connection are held. */
  readonly passes?: boolean;
  /**
   * Bytes have come. The view, which lies at `address`, is good during the call
   * only; `stream.consumed` gives their credit back, now or when they have gone on.
   */
  onData(stream: Stream, bytes: Uint8Array, address: number): void;
  /** Whether large data is wanted in a pipe, by `onPiped`. */
  readonly takesPipes?: boolean;
  /** The same as `onData`, with `length` bytes in pipe `fd`, all of which must be taken during the call. */
  onPiped?(stream: Stream, fd: number, length: number): void;
  /** The peer sends no more data; this end may go on. */
  onEof(stream: Stream): void;
  /** The peer has given the stream up: `errno` says why. Nothing more can be sent. */
  onReset(stream: Stream, errno: number): void;
  /** A message beside the data, after all data sent before it; `consumed` gives its credit back. */
  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void;
  /** More can be sent, after `send`, `fill` or `sendOutOfBand` took less than it was given. */
  onWritable(stream: Stream): void;
  /** Both ends have finished: nothing more is called. */
  onClosed(stream: Stream): void;
}

/** Result of sending on a stream whose sending end is closed. */
export const NOT_WRITABLE = -1;

/** How far one direction has come. */
export const Direction = { OPEN: 0, EOF: 1, RESET: 2 } as const;

export class Stream {
  readonly id: number;
  readonly #sender: StreamSender;
  /** Set once the stream was accepted or opened; gone when it was reset here. */
  handler: StreamHandler | undefined;

  /** What this end has said on the wire, and what the peer has. */
  sent: number = Direction.OPEN;
  received: number = Direction.OPEN;
  /** What this end will say once the connection takes it. */
  owed: number = Direction.OPEN;
  owedErrno = 0;

  /** Bytes and messages that may be sent, and that the peer may send. */
  credit = STREAM_WINDOW;
  messageCredit = STREAM_MESSAGES_MAX;
  granted = STREAM_WINDOW;
  grantedMessages = STREAM_MESSAGES_MAX;
  /** Consumed, not yet granted anew. */
  freed = 0;
  freedMessages = 0;
  /** What the peer may have on its way to here, and how far that grows, in both directions, while all is consumed at once. */
  window = STREAM_WINDOW;
  windowMax = STREAM_WINDOW;
  /** Received, not yet consumed. */
  held = 0;
  heldMessages = 0;
  /** Waits in the list of those that owe. */
  owes = false;
  /** Wants to send, and waits in the list of those that can be told to. */
  wants = false;
  queued = false;
  /** Both ends have finished. */
  closed = false;

  constructor(sender: StreamSender, id: number) {
    this.#sender = sender;
    this.id = id;
  }

  /** Whether this end has given the stream up. */
  get isReset(): boolean {
    return this.sent === Direction.RESET || this.owed === Direction.RESET;
  }

  /** Whether this end may still send data. */
  get writable(): boolean {
    return this.sent === Direction.OPEN && this.owed === Direction.OPEN;
  }

  /**
   * Sends as much of `bytes` as credit and connection take, copying it: how many
   * bytes, or NOT_WRITABLE. If it is less than all, `onWritable` follows.
   */
  send(bytes: Uint8Array): number {
    return this.#sender.send(this, bytes);
  }

  /**
   * Sends what `read` puts at an address, at most `max` bytes of it, without a
   * copy: the result of `read` (0 or less: nothing was sent), or NOT_WRITABLE.
   * undefined: nothing can be sent now, `read` was not called, `onWritable` follows.
   */
  fill(read: (address: number, max: number) => number): number | undefined {
    return this.#sender.fill(this, read);
  }

  /**
   * Sends what pipe `fd` holds, a part of it, without touching it: how many bytes, 0 at its
   * end, or -errno. undefined: that cannot be done, not now or never; `fill` says which.
   */
  fillFromPipe(fd: number): number | undefined {
    return this.#sender.fillFromPipe(this, fd);
  }

  /** Sends a message of at most STREAM_CHUNK_MAX bytes beside the data; false: later. */
  sendOutOfBand(type: number, bytes: Uint8Array): boolean {
    return this.#sender.sendOutOfBand(this, type, bytes);
  }

  /** Sends no more data. */
  end(): void {
    if (this.writable) this.#sender.owe(this, Direction.EOF, 0);
  }

  /** Gives the stream up: the peer is told `errno`, the handler is not called again. */
  reset(errno: number): void {
    if (this.isReset) return;
    this.handler = undefined;
    this.#sender.owe(this, Direction.RESET, errno);
  }

  /** Frees twice as much where nothing waits to be consumed: the peer has been waiting then. */
  grow(): void {
    if (this.held > 0 || this.freed === 0 || this.window >= this.windowMax) return;
    const more = Math.min(this.window, this.windowMax - this.window);
    this.window += more;
    this.freed += more;
  }

  /** The handler is done with so many bytes and messages that it was given. */
  consumed(bytes: number, messages = 0): void {
    if (bytes > this.held || messages > this.heldMessages || bytes < 0 || messages < 0) {
      throw new RangeError(`Stream ${this.id} has not received what is said to be consumed`);
    }
    this.held -= bytes;
    this.heldMessages -= messages;
    this.freed += bytes;
    this.freedMessages += messages;
    this.#sender.grant(this);
  }
}
