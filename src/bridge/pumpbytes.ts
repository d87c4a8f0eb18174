/**
 * Joins a descriptor that carries bytes to a stream: a unix STREAM socket, an end
 * of a pipe, a terminal. Both directions go on by themselves, as fast as the slower
 * end of each takes data; what one end closes, the other finds closed.
 *
 * | here | to the stream | from the stream | here |
 * | --- | --- | --- | --- |
 * | end of what is read | EOF | EOF | shutdown(SHUT_WR), or close of a pipe |
 * | nobody reads what is written (EPIPE, HUP) | NO_READER; RESET EPIPE of a pipe | NO_READER | shutdown(SHUT_RD), or close |
 * | ECONNRESET | RESET | RESET | what came before is written, then close |
 */
import type { Stream, StreamHandler } from "../session/stream.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { ProtocolError } from "../wire/error.ts";
import { STREAM_CHUNK_MAX } from "../wire/limits.ts";
import { OutOfBand } from "../wire/streams.ts";
import { type Ancillary, decodeCredentials, NO_ANCILLARY } from "./ancillary.ts";
import { BesideSource } from "./besidesource.ts";
import type { Loop, Watched } from "./loop.ts";
import { pendingRights } from "./marks.ts";
import { Port, Shape } from "./port.ts";
import { Sink } from "./sink.ts";
import { Source } from "./source.ts";

export { Shape } from "./port.ts";

/** What a pump has done, for info. */
export interface PumpFigures {
  /** Bytes read from the descriptor, and written to it. */
  readonly read: number;
  readonly written: number;
  /** Bytes that have come for the descriptor and wait until it takes them. */
  readonly waiting: number;
  /** Bytes that the peer lets us send now. */
  readonly credit: number;
  /** Milliseconds since it began. */
  readonly ageMs: number;
  readonly peer: string;
}

export interface PumpOptions {
  readonly loop: Loop;
  /** The pump owns its descriptor from now on, and closes it. */
  readonly port: Port;
  /**
   * Of a unix socket: carries descriptors, and closed with the pump. Without it
   * neither they nor credentials nor out-of-band bytes cross.
   */
  readonly ancillary?: Ancillary;
  /** Takes TERMINAL messages. */
  readonly terminal?: (message: Uint8Array) => void;
  /** Who is at the other end of the descriptor, for people. */
  readonly peer?: string;
  /**
   * Both directions are over and the descriptor is closed. `errno` is that of the
   * RESET that was sent or has come, 0 where both have ended as they should.
   */
  readonly ended?: (errno: number) => void;
}

/** The same with a descriptor of a usual shape. */
export interface FdPumpOptions extends Omit<PumpOptions, "port"> {
  readonly fd: number;
  readonly shape: Shape;
}

const NOTHING = new Uint8Array(0);

/**
 * A pump is the stream's handler: give it to `Streams.open` or return it from
 * `Accept`, and call `start` with the stream.
 */
export class BytePump implements StreamHandler, Watched {
  readonly #loop: Loop;
  readonly #port: Port;
  readonly #peer: string;
  readonly #ended: (errno: number) => void;
  readonly #since: number;
  readonly #ancillary: Ancillary;
  readonly #hasBeside: boolean;
  readonly #terminal: ((message: Uint8Array) => void) | undefined;
  readonly #source: Source;
  readonly #sink: Sink;
  #stream: Stream | undefined;
  /** EPOLL* bits that are waited for; -1: not in the loop. */
  #events = -1;
  /** The peer of the descriptor has closed it: EPOLLHUP would be told for ever. */
  #hungUp = false;
  /** It was told to be readable while the stream took nothing. */
  #toldInVain = false;
  #isClosed = false;
  #errno = 0;
  /** Messages that are to be told once the connection takes them, the last of each type. */
  readonly #owed = new Map<number, Uint8Array>();

  constructor(options: PumpOptions | FdPumpOptions) {
    this.#loop = options.loop;
    this.#port = "port" in options ? options.port : new Port(options.fd, options.shape);
    this.#terminal = options.terminal;
    this.#peer = options.peer ?? "";
    this.#ended = options.ended ?? (() => {});
    this.#since = options.loop.nowMs;
    this.#ancillary = options.ancillary ?? NO_ANCILLARY;
    this.#hasBeside = options.ancillary !== undefined;
    const beside = this.#hasBeside
      ? new BesideSource(this.#port.fd, this.#ancillary, () => this.#goOn())
      : undefined;
    this.#source = new Source(this.#port, beside);
    this.#sink = new Sink(this.#port, (fd) => this.#ancillary.release(fd));
  }

  /** Begins: reads at once what there is. */
  start(stream: Stream): void {
    this.#stream = stream;
    if (!this.#port.reads) {
      this.#source.isOver = true;
      stream.end();
    }
    if (!this.#port.writes) this.#sink.isOver = true;
    this.#settle();
  }

  get figures(): PumpFigures {
    return {
      read: this.#source.bytes,
      written: this.#sink.bytes,
      waiting: this.#sink.waiting,
      credit: this.#stream?.credit ?? 0,
      ageMs: this.#loop.nowMs - this.#since,
      peer: this.#peer,
    };
  }

  /** Whether the descriptor is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Gives up at once: the peer is told `errno`, the descriptor is closed. */
  close(errno: number): void {
    if (this.#isClosed) return;
    this.#stream?.reset(errno);
    this.#finish(errno);
  }

  onEvents(events: number): void {
    const broken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if (broken) this.#hungUp = true;
    if ((events & EPOLLOUT) !== 0 || broken) this.#write();
    if ((events & (EPOLLIN | EPOLLPRI)) !== 0 || broken) {
      if (this.#source.blocked) this.#toldInVain = true;
      else this.#read();
    }
    if (broken && (this.#port.halfCloses || !this.#port.reads)) this.#noReader();
    this.#settle();
  }

  onData(stream: Stream, bytes: Uint8Array, address: number): void {
    if (this.#sink.isOver) stream.consumed(bytes.length);
    else this.#wrote(this.#sink.take(stream, bytes, address));
    this.#settle();
  }

  onEof(): void {
    this.#sink.end();
    this.#settle();
  }

  /** What came before is written still; the other direction is over at once. */
  onReset(_: Stream, errno: number): void {
    if (this.#isClosed) return;
    this.#errno = errno;
    this.#owed.clear();
    this.#endReading();
    this.#sink.end();
    this.#settle();
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    if (type === OutOfBand.NO_READER) {
      stream.consumed(0, 1);
      if (!this.#source.isOver) {
        this.#endReading();
        stream.end();
      }
    } else if (type === OutOfBand.RIGHTS) this.#rights(stream, bytes);
    else if (type === OutOfBand.TERMINAL && this.#terminal !== undefined) {
      stream.consumed(0, 1);
      this.#terminal(bytes);
    } else if (!this.#hasBeside) stream.consumed(0, 1);
    else if (type === OutOfBand.CREDENTIALS) {
      this.#wrote(this.#sink.mark(stream, { credentials: decodeCredentials(bytes) }));
    } else if (type === OutOfBand.URGENT && bytes.length === 1) {
      this.#wrote(this.#sink.mark(stream, { urgent: Uint8Array.from(bytes) }));
    } else throw new ProtocolError(`message ${type} beside a byte stream`);
    this.#settle();
  }

  /** Descriptors come with the next bytes, which wait until they are here. */
  #rights(stream: Stream, bytes: Uint8Array): void {
    const length = bytes.length >= 4 ? Buffer.from(bytes).readUInt32LE(0) : 0;
    if (length < 1 || length > STREAM_CHUNK_MAX)
      throw new ProtocolError("descriptors without data");
    const what = pendingRights(length);
    this.#wrote(this.#sink.mark(stream, what));
    let isNow = true;
    this.#ancillary.unpack(bytes.slice(4), (fds) => {
      if (typeof fds === "number") this.close(fds);
      else if (this.#sink.isOver) for (const fd of fds) this.#ancillary.release(fd);
      else {
        what.fds = fds;
        this.#write();
        if (!isNow) this.#settle();
      }
    });
    isNow = false;
  }

  onWritable(): void {
    this.#tellOwed();
    this.#goOn();
  }

  /** What the source has waited for is there. */
  #goOn(): void {
    this.#source.blocked = false;
    this.#toldInVain = false;
    this.#read();
    this.#settle();
  }

  onClosed(): void {}

  /** Reads what there is and the stream takes. */
  #read(): void {
    const stream = this.#stream;
    if (this.#isClosed || this.#source.isOver || stream === undefined) return;
    const errno = this.#source.pull(stream, this.#hungUp);
    if (errno !== 0) this.close(errno);
    else if (this.#source.isOver) stream.end();
  }

  /** Nothing more is read: the writer at the other end of the descriptor is told. */
  #endReading(): void {
    if (!this.#source.isOver) this.#port.endReading();
    this.#source.isOver = true;
  }

  #write(): void {
    if (this.#stream === undefined || this.#sink.isOver) return;
    this.#wrote(this.#sink.drain(this.#stream));
  }

  #wrote(errno: number): void {
    if (errno === 0) return;
    if (errno === E.EPIPE || errno === E.ECONNRESET) this.#noReader();
    else this.close(errno);
  }

  /** Nobody takes what is written here. */
  #noReader(): void {
    if (this.#isClosed || this.#sink.isOver || this.#stream === undefined) return;
    this.#sink.abandon(this.#stream);
    if (this.#port.shape === Shape.SOCKET) this.tell(OutOfBand.NO_READER, NOTHING);
    else this.close(E.EPIPE);
  }

  /** Tells the peer beside the data, at once or as soon as it can be told. */
  protected tell(type: number, message: Uint8Array): void {
    this.#owed.set(type, message);
    this.#tellOwed();
  }

  #tellOwed(): void {
    for (const [type, message] of this.#owed) {
      if (this.#stream?.sendOutOfBand(type, message) !== true) return;
      this.#owed.delete(type);
    }
  }

  /** Closes what is over, else waits for what is needed next. */
  #settle(): void {
    if (this.#isClosed || this.#stream === undefined) return;
    // A terminal has one end, not two.
    const oneIsOver = this.#source.isOver || this.#sink.isOver;
    const bothAreOver = this.#source.isOver && this.#sink.isOver;
    if (this.#port.shape === Shape.TERMINAL ? oneIsOver : bothAreOver) {
      if (!this.#owed.has(OutOfBand.NO_READER)) this.#finish(this.#errno);
    } else this.#wait();
  }

  #wait(): void {
    let events = 0;
    if (this.#source.isOver) this.#toldInVain = false;
    else if (!this.#source.blocked) events |= EPOLLIN | EPOLLPRI;
    // To be told once in vain costs less than to say each time that nothing can be taken.
    else if (!this.#toldInVain) events |= Math.max(this.#events, 0) & (EPOLLIN | EPOLLPRI);
    if (this.#sink.wantsRoom) events |= EPOLLOUT;
    this.#await(events);
  }

  #await(events: number): void {
    // Nothing more can happen to it; what is left in it is read when the stream takes more.
    const leaves = this.#hungUp && (events & ~EPOLLPRI) === 0;
    if (leaves) {
      if (this.#events >= 0) this.#loop.remove(this.#port.fd);
      this.#events = -1;
      return;
    }
    if (this.#events < 0) this.#loop.add(this.#port.fd, events, this);
    else if (this.#events !== events) this.#loop.modify(this.#port.fd, events);
    this.#events = events;
  }

  #finish(errno: number): void {
    this.#isClosed = true;
    this.#source.close();
    if (this.#stream !== undefined) {
      this.#sink.abandon(this.#stream);
      this.#stream.end();
    }
    if (this.#events >= 0) this.#loop.remove(this.#port.fd);
    close(this.#port.fd);
    this.#ancillary.close();
    this.#ended(errno);
  }
}
