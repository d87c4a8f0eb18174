/** The sending half of multiplexed streams: what goes now, what is owed, who is told when. */
import type { Frames } from "../transport/transport.ts";
import { Kind } from "../wire/frame.ts";
import { STREAM_CHUNK_MAX, STREAM_MESSAGES_MAX } from "../wire/limits.ts";
import { StreamMessage } from "../wire/streams.ts";
import type { Writer } from "../wire/writer.ts";
import { Direction, NOT_WRITABLE, type Stream } from "./stream.ts";

const GRANT_MESSAGES = STREAM_MESSAGES_MAX / 4;

/** Places of the list of those that are ready which are left behind before it is made anew. */
const READY_MAX = 1024;

/**
 * Whether enough was consumed on `stream` for its credit to be given back: in parts of a
 * quarter of its window, not byte by byte.
 */
function creditIsDue(stream: Stream): boolean {
  return stream.freed >= stream.window / 4 || stream.freedMessages >= GRANT_MESSAGES;
}

export class StreamSender {
  readonly #transport: Frames;
  /** Called when this end of a stream has said its last word. */
  readonly #ended: (stream: Stream) => void;
  /** Streams that owe the peer a message. */
  #owing: Stream[] = [];
  /** Streams that could not send, and now may be able to; in order, from #next on. */
  #ready: Stream[] = [];
  #next = 0;

  constructor(transport: Frames, ended: (stream: Stream) => void) {
    this.#transport = transport;
    this.#ended = ended;
  }

  /** Sends the first message of a stream; the transport must not be congested. */
  open(stream: Stream, kind: number, description: Uint8Array): void {
    checkLength(description);
    this.#begin(stream, StreamMessage.OPEN, 1).uint(kind);
    this.#transport.endCopy(description, description.length);
  }

  /** For Stream.send. */
  send(stream: Stream, bytes: Uint8Array): number {
    if (!stream.writable) return NOT_WRITABLE;
    let at = 0;
    while (at < bytes.length && stream.credit > 0 && !this.#transport.congested) {
      const length = Math.min(bytes.length - at, stream.credit, STREAM_CHUNK_MAX);
      this.#begin(stream, StreamMessage.DATA, 0);
      this.#transport.endCopy(bytes.subarray(at, at + length), length);
      stream.credit -= length;
      at += length;
      // Others wait for their turn.
      if (this.#ready.length > this.#next) break;
    }
    if (at < bytes.length) this.#block(stream, stream.credit > 0);
    return at;
  }

  /** For Stream.fill. */
  fill(stream: Stream, read: (address: number, max: number) => number): number | undefined {
    if (!stream.writable) return NOT_WRITABLE;
    if (stream.credit === 0 || this.#transport.congested) {
      this.#block(stream, stream.credit > 0);
      return undefined;
    }
    this.#begin(stream, StreamMessage.DATA, 0);
    const got = read(this.#transport.payloadRoom(), Math.min(stream.credit, STREAM_CHUNK_MAX));
    if (got <= 0) {
      this.#transport.abandon();
      return got;
    }
    this.#transport.endInline(got);
    stream.credit -= got;
    return got;
  }

  /** For Stream.fillFromPipe. */
  fillFromPipe(stream: Stream, fd: number): number | undefined {
    if (!stream.writable || stream.credit === 0 || this.#transport.congested) return undefined;
    const { pipeMax = 0, endFromPipe } = this.#transport;
    if (pipeMax === 0 || endFromPipe === undefined) return undefined;
    this.#begin(stream, StreamMessage.DATA, 0);
    const max = Math.min(stream.credit, pipeMax);
    const got = endFromPipe.call(this.#transport, fd, max);
    if (got > 0) stream.credit -= got;
    else this.#transport.abandon();
    return got;
  }

  /** For Stream.sendOutOfBand. */
  sendOutOfBand(stream: Stream, type: number, bytes: Uint8Array): boolean {
    checkLength(bytes);
    if (stream.isReset) return true;
    if (stream.messageCredit === 0 || this.#transport.congested) {
      this.#block(stream, stream.messageCredit > 0);
      return false;
    }
    stream.messageCredit--;
    this.#begin(stream, StreamMessage.OUT_OF_BAND, 1).uint(type);
    this.#transport.endCopy(bytes, bytes.length);
    return true;
  }

  /** For Stream.end and Stream.reset: says so now, or when the connection takes it. */
  owe(stream: Stream, direction: number, errno: number): void {
    stream.owed = direction;
    stream.owedErrno = errno;
    this.#settle(stream);
  }

  /** For Stream.consumed: gives credit back once there is enough of it. */
  grant(stream: Stream): void {
    if (creditIsDue(stream)) this.#settle(stream);
  }

  /** The peer has given credit: whoever waits for some can go on. */
  credited(stream: Stream): void {
    if (stream.wants) this.#queue(stream);
  }

  /** Sends what is owed, then tells those that could not send that they can. */
  flush(): void {
    const owing = this.#owing;
    this.#owing = [];
    for (const stream of owing) {
      stream.owes = false;
      this.#settle(stream);
    }
    // One turn each: whoever has more to send goes to the end of the list.
    while (!this.#transport.congested) {
      const stream = this.#takeReady();
      if (stream === undefined) return;
      stream.queued = false;
      stream.wants = false;
      if (!stream.isReset) stream.handler?.onWritable(stream);
    }
  }

  /** Forgets everything that was to be sent. */
  close(): void {
    this.#owing = [];
    this.#ready = [];
    this.#next = 0;
  }

  /** The first that is ready: not by shift(), which moves thousands of others. */
  #takeReady(): Stream | undefined {
    const stream = this.#ready[this.#next++];
    if (stream !== undefined && this.#next < READY_MAX) return stream;
    this.#ready = this.#ready.slice(this.#next);
    this.#next = 0;
    return stream;
  }

  #begin(stream: Stream, message: number, more: number): Writer {
    const w = this.#transport.begin(Kind.STREAM);
    w.array(2 + more);
    w.uint(stream.id);
    w.uint(message);
    return w;
  }

  /**
   * `stream` could not send all: it is told at its turn if it has credit, else
   * when the peer gives it some.
   */
  #block(stream: Stream, hasCredit: boolean): void {
    stream.wants = true;
    if (hasCredit) this.#queue(stream);
  }

  #queue(stream: Stream): void {
    if (stream.queued) return;
    stream.queued = true;
    this.#ready.push(stream);
  }

  /** Sends what `stream` owes, or remembers that it does. */
  #settle(stream: Stream): void {
    if (stream.closed) return;
    if (this.#transport.congested) {
      if (!stream.owes) this.#owing.push(stream);
      stream.owes = true;
      return;
    }
    this.#sendCredit(stream);
    if (stream.owed === Direction.OPEN) return;
    if (stream.owed === Direction.EOF) this.#begin(stream, StreamMessage.EOF, 0);
    else this.#begin(stream, StreamMessage.RESET, 1).uint(stream.owedErrno);
    this.#transport.end();
    stream.sent = stream.owed;
    stream.owed = Direction.OPEN;
    this.#ended(stream);
  }

  #sendCredit(stream: Stream): void {
    const useless = stream.isReset || stream.received === Direction.RESET;
    if (!creditIsDue(stream) || useless) return;
    stream.grow();
    const w = this.#begin(stream, StreamMessage.CREDIT, 2);
    w.uint(stream.freed);
    w.uint(stream.freedMessages);
    this.#transport.end();
    stream.granted += stream.freed;
    stream.grantedMessages += stream.freedMessages;
    stream.freed = 0;
    stream.freedMessages = 0;
  }
}

function checkLength(bytes: Uint8Array): void {
  if (bytes.length > STREAM_CHUNK_MAX) {
    throw new RangeError(`A stream message of ${bytes.length} bytes exceeds ${STREAM_CHUNK_MAX}`);
  }
}
