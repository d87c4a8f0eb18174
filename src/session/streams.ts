/**
 * Multiplexed byte streams over anything that carries frames, for either end. Nothing is
 * buffered here: data goes straight to the stream's handler, and what cannot be
 * sent is not taken, so a stream holds at most its window and a reader that
 * stalls delays nobody else.
 *
 * The owner calls `receive` for each frame of Kind.STREAM, `flush` whenever the
 * transport may have become able to send, and flushes the transport itself.
 */
import type { Frames } from "../transport/transport.ts";
import { ProtocolError } from "../wire/error.ts";
import {
  STREAM_CHUNK_MAX,
  STREAM_MESSAGES_MAX,
  STREAM_SPLICED_MAX,
  STREAMS_MAX,
} from "../wire/limits.ts";
import { FirstStream, STREAM_STEP, StreamMessage } from "../wire/streams.ts";
import { PIPED_MIN } from "./pipedpayload.ts";
import { Direction, Stream, type StreamHandler } from "./stream.ts";
import { StreamSender } from "./streamsender.ts";

/**
 * Decides on a stream that the peer opens: who handles it, or the errno that it
 * is refused with. `description` is good during the call only.
 */
export type Accept = (
  stream: Stream,
  kind: number,
  description: Uint8Array,
) => StreamHandler | number;

export class Streams {
  readonly #transport: Frames;
  readonly #accept: Accept;
  readonly #sender: StreamSender;
  readonly #streams = new Map<number, Stream>();
  /** Numbers of the next stream from here and of the least that the peer may open. */
  #next: number;
  #nextOfPeer: number;
  #openedHere = 0;
  #openedByPeer = 0;

  constructor(transport: Frames, side: keyof typeof FirstStream, accept: Accept) {
    this.#transport = transport;
    this.#accept = accept;
    this.#sender = new StreamSender(transport, (stream) => this.#finish(stream));
    this.#next = FirstStream[side];
    this.#nextOfPeer = FirstStream[side === "client" ? "server" : "client"];
  }

  /** Streams that are not closed on both ends. */
  get size(): number {
    return this.#streams.size;
  }

  /** Opens a stream; undefined where there are too many or nothing can be sent now. */
  open(kind: number, description: Uint8Array, handler: StreamHandler): Stream | undefined {
    if (this.#openedHere >= STREAMS_MAX || this.#transport.congested) return undefined;
    const stream = new Stream(this.#sender, this.#next);
    stream.handler = handler;
    this.#next += STREAM_STEP;
    this.#openedHere++;
    this.#streams.set(stream.id, stream);
    this.#sender.open(stream, kind, description);
    return stream;
  }

  /** Whether the frame that the transport has stepped to is for a handler that `passes`. */
  get nextPasses(): boolean {
    const { reader } = this.#transport;
    const start = reader.at;
    reader.array();
    const id = reader.uint();
    reader.at = start;
    return this.#streams.get(id)?.handler?.passes === true;
  }

  /** Serves the frame that the transport has stepped to. */
  receive(): void {
    const { reader } = this.#transport;
    const items = reader.array();
    const id = reader.uint();
    const message = reader.uint();
    const [first, second] = this.#arguments(items - 2);
    reader.finish();
    const stream = this.#streams.get(id);
    if (message === StreamMessage.OPEN) this.#opened(id, items, first);
    else if (stream === undefined) this.#stray(id, message);
    else this.#served(stream, message, items, first, second);
  }

  /** To be called whenever the transport may take more: sends what is owed, then `onWritable`. */
  flush(): void {
    this.#sender.flush();
  }

  /** The connection is gone: every stream ends with `errno`. */
  close(errno: number): void {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    this.#sender.close();
    for (const stream of streams) {
      const { handler } = stream;
      stream.handler = undefined;
      stream.closed = true;
      stream.sent = Direction.RESET;
      if (stream.received !== Direction.RESET) handler?.onReset(stream, errno);
      handler?.onClosed(stream);
    }
  }

  /** Forgets a stream that both ends have finished. */
  #finish(stream: Stream): void {
    if (stream.sent === Direction.OPEN || stream.received === Direction.OPEN) return;
    if (!this.#streams.delete(stream.id)) return;
    stream.closed = true;
    if (this.#isMine(stream.id)) this.#openedHere--;
    else this.#openedByPeer--;
    const { handler } = stream;
    stream.handler = undefined;
    handler?.onClosed(stream);
  }

  #isMine(id: number): boolean {
    return id % STREAM_STEP === this.#next % STREAM_STEP;
  }

  #arguments(count: number): [number, number] {
    const { reader } = this.#transport;
    if (count < 0 || count > 2) throw new ProtocolError("stream message of a wrong length");
    return [count > 0 ? reader.uint() : 0, count > 1 ? reader.uint() : 0];
  }

  #payload(max = STREAM_CHUNK_MAX): Uint8Array {
    const { reader, payloadStart, payloadLength, payloadBytes } = this.#transport;
    if (payloadLength > max) throw new ProtocolError("stream message is too long");
    if (payloadBytes !== undefined) return payloadBytes;
    return reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  }

  #opened(id: number, items: number, kind: number): void {
    if (items !== 3) throw new ProtocolError("stream message of a wrong length");
    if (id !== this.#nextOfPeer) {
      throw new ProtocolError(`stream ${id} opened where ${this.#nextOfPeer} is next`);
    }
    if (this.#openedByPeer >= STREAMS_MAX) throw new ProtocolError("too many streams");
    this.#nextOfPeer = id + STREAM_STEP;
    this.#openedByPeer++;
    const stream = new Stream(this.#sender, id);
    this.#streams.set(id, stream);
    const answer = this.#accept(stream, kind, this.#payload());
    if (typeof answer === "number") stream.reset(answer);
    else if (!stream.isReset) stream.handler = answer;
  }

  /** A message for a stream that is closed here: some cross with the end, others are wrong. */
  #stray(id: number, message: number): void {
    const known = this.#isMine(id) ? id < this.#next : id < this.#nextOfPeer;
    const crosses =
      message === StreamMessage.CREDIT ||
      message === StreamMessage.RESET ||
      message === StreamMessage.OUT_OF_BAND;
    if (!known || id < 1 || !crosses) {
      throw new ProtocolError(`stream ${id} is not open (message ${message})`);
    }
  }

  #served(stream: Stream, message: number, items: number, first: number, second: number): void {
    if (items !== ITEMS[message]) throw new ProtocolError(`unknown stream message ${message}`);
    if (this.#transport.payloadLength > 0 && !CARRIES.has(message)) {
      throw new ProtocolError(`stream message ${message} has a payload`);
    }
    if (stream.received === Direction.RESET) {
      throw new ProtocolError(`message ${message} after the reset of stream ${stream.id}`);
    }
    if (message === StreamMessage.DATA) this.#data(stream);
    else if (message === StreamMessage.CREDIT) this.#credited(stream, first, second);
    else if (message === StreamMessage.OUT_OF_BAND) this.#outOfBand(stream, first);
    else if (message === StreamMessage.EOF) this.#eof(stream);
    else this.#reset(stream, first);
  }

  #data(stream: Stream): void {
    const transport = this.#transport;
    const length = transport.payloadLength;
    if (stream.received !== Direction.OPEN || length === 0) {
      throw new ProtocolError(`data out of place on stream ${stream.id}`);
    }
    if (length > stream.granted) throw new ProtocolError(`stream ${stream.id} exceeds its credit`);
    stream.granted -= length;
    stream.held += length;
    const { handler } = stream;
    const takesPipes = handler?.takesPipes === true && length >= PIPED_MIN;
    if (transport.wantsPipe !== undefined) transport.wantsPipe = takesPipes;
    const pipe = takesPipes ? (transport.payloadPipe ?? -1) : -1;
    if (pipe >= 0 && handler?.onPiped) handler.onPiped(stream, pipe, length);
    else handler?.onData(stream, this.#payload(STREAM_SPLICED_MAX), transport.payloadAddress);
  }

  #credited(stream: Stream, bytes: number, messages: number): void {
    const tooMuch =
      stream.credit + bytes > stream.windowMax ||
      stream.messageCredit + messages > STREAM_MESSAGES_MAX;
    if (tooMuch || bytes + messages === 0) {
      throw new ProtocolError(`credit that stream ${stream.id} cannot have`);
    }
    stream.credit += bytes;
    stream.messageCredit += messages;
    this.#sender.credited(stream);
  }

  #outOfBand(stream: Stream, type: number): void {
    const bytes = this.#payload();
    if (stream.grantedMessages === 0) {
      throw new ProtocolError(`stream ${stream.id} exceeds its credit of messages`);
    }
    stream.grantedMessages--;
    stream.heldMessages++;
    stream.handler?.onOutOfBand(stream, type, bytes);
  }

  #eof(stream: Stream): void {
    if (stream.received !== Direction.OPEN) {
      throw new ProtocolError(`second end of stream ${stream.id}`);
    }
    stream.received = Direction.EOF;
    stream.handler?.onEof(stream);
    this.#finish(stream);
  }

  #reset(stream: Stream, errno: number): void {
    stream.received = Direction.RESET;
    const { handler } = stream;
    // The peer waits for an end of this side; unless it has had one, a reset answers.
    const answers = stream.sent === Direction.OPEN;
    if (answers) stream.owed = Direction.RESET;
    handler?.onReset(stream, errno);
    if (answers) this.#sender.owe(stream, Direction.RESET, errno);
    else this.#finish(stream);
  }
}

/** Messages with a payload. */
const CARRIES: ReadonlySet<number> = new Set([StreamMessage.DATA, StreamMessage.OUT_OF_BAND]);

/** Items of each message's header. */
const ITEMS: Readonly<Record<number, number>> = {
  [StreamMessage.DATA]: 2,
  [StreamMessage.CREDIT]: 4,
  [StreamMessage.EOF]: 2,
  [StreamMessage.RESET]: 3,
  [StreamMessage.OUT_OF_BAND]: 3,
};
