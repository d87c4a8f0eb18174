/**
 * Joins a descriptor to a stream: what all pumps have in common. Both directions go on by
 * themselves, as fast as the slower end of each takes data; what one end closes, the
 * other finds closed.
 */
import type { Stream, StreamHandler } from "../session/stream.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { ProtocolError } from "../wire/error.ts";
import { OutOfBand } from "../wire/streams.ts";
import { type Ancillary, decodeCredentials, NO_ANCILLARY } from "./ancillary.ts";
import type { Loop, Watched } from "./loop.ts";
import { type Mark, pendingRights } from "./marks.ts";

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

export interface CommonOptions {
  readonly loop: Loop;
  /** Carries descriptors, and closed with the pump; without it none cross. */
  readonly ancillary?: Ancillary;
  /** Who is at the other end of the descriptor, for people. */
  readonly peer?: string;
  /**
   * Both directions are over and the descriptor is closed. `errno` is that of the
   * RESET that was sent or has come, 0 where both have ended as they should.
   */
  readonly ended?: (errno: number) => void;
}

/** The direction to the stream. */
export interface PumpSource {
  /** Nothing more comes, or is wanted. */
  isOver: boolean;
  /** The stream takes nothing now, or descriptors are on their way: it will be said when to go on. */
  blocked: boolean;
  readonly bytes: number;
  /** Moves what is there: 0, or the errno for which the descriptor is of no use any more. */
  pull(stream: Stream, all: boolean): number;
  close(): void;
}

/** The direction from the stream. */
export interface PumpSink {
  /** Nothing more is written. */
  readonly isOver: boolean;
  /** It would take more now if the descriptor did. */
  readonly wantsRoom: boolean;
  readonly waiting: number;
  readonly bytes: number;
  /** Each: 0, or the errno of writing. */
  take(stream: Stream, bytes: Uint8Array, address: number): number;
  mark(stream: Stream, what: Mark["what"]): number;
  /** Whether data may come in a pipe, by `takePipe`: as `take`, with `length` bytes in pipe `fd`. */
  readonly takesPipes?: boolean;
  takePipe?(stream: Stream, fd: number, length: number): number;
  drain(stream: Stream): number;
  /** Nothing more comes: once all is written, the descriptor's reader is told. */
  end(): void;
  /** Nobody takes what waits, nor what comes. */
  abandon(stream: Stream): void;
}

const NOTHING = new Uint8Array(0);
/** Errors that say that nobody takes what is written. */
const NOBODY_READS: ReadonlySet<number> = new Set([E.EPIPE, E.ECONNRESET, E.ECONNREFUSED]);

/**
 * A pump is the stream's handler: give it to `Streams.open` or return it from
 * `Accept`, and call `start` with the stream. It owns its descriptor, and closes it.
 */
export abstract class Pump implements StreamHandler, Watched {
  protected readonly fd: number;
  protected readonly ancillary: Ancillary;
  readonly #loop: Loop;
  readonly #peer: string;
  readonly #ended: (errno: number) => void;
  readonly #since: number;
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

  constructor(fd: number, options: CommonOptions) {
    this.fd = fd;
    this.#loop = options.loop;
    this.#peer = options.peer ?? "";
    this.#ended = options.ended ?? (() => {});
    this.#since = options.loop.nowMs;
    this.ancillary = options.ancillary ?? NO_ANCILLARY;
  }

  protected abstract readonly source: PumpSource;
  protected abstract readonly sink: PumpSink;
  /** Whether the descriptor has two ends of its own: one may be over and the other go on. */
  protected abstract readonly halfCloses: boolean;
  /** Nothing more is read: the writer at the other end of the descriptor gets EPIPE. */
  protected abstract shutReading(): void;
  /** Takes a message of a type that not all pumps have; false: no pump has it. */
  protected abstract took(stream: Stream, type: number, bytes: Uint8Array): boolean;
  /** Bytes that descriptors may have come with, the least and the most. */
  protected abstract readonly pieceBytes: readonly [min: number, max: number];

  /** Nobody reads at the other end of the stream any more. */
  protected leftByPeer(): void {}

  /** Begins: reads at once what there is. */
  start(stream: Stream): void {
    this.#stream = stream;
    if (this.source.isOver) stream.end();
    this.settle();
  }

  get figures(): PumpFigures {
    return {
      read: this.source.bytes,
      written: this.sink.bytes,
      waiting: this.sink.waiting,
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

  /** Who had the other end of the descriptor has ended: what it has left there is read at once. */
  leftByOwner(): void {
    if (this.#isClosed) return;
    this.#hungUp = true;
    this.goOn();
  }

  onEvents(events: number): void {
    const broken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if (broken) this.#hungUp = true;
    // Before the end of what comes from it: that it is closed, not only half of it.
    if (broken && this.halfCloses) this.noReader();
    if ((events & EPOLLOUT) !== 0 || broken) this.#write();
    if ((events & (EPOLLIN | EPOLLPRI)) !== 0 || broken) {
      if (this.source.blocked) this.#toldInVain = true;
      else this.#read();
    }
    // What has one end may have something left that is to be read.
    if (broken && this.source.isOver) this.noReader();
    this.settle();
  }

  onData(stream: Stream, bytes: Uint8Array, address: number): void {
    if (this.sink.isOver) stream.consumed(bytes.length);
    else this.#wrote(this.sink.take(stream, bytes, address));
    this.settle();
  }

  onPiped(stream: Stream, fd: number, length: number): void {
    this.#wrote(this.sink.takePipe?.(stream, fd, length) ?? E.EPROTO);
    this.settle();
  }

  get takesPipes(): boolean {
    return this.sink.takesPipes === true;
  }

  onEof(): void {
    this.sink.end();
    this.settle();
  }

  /** What came before is written still; the other direction is over at once. */
  onReset(_: Stream, errno: number): void {
    if (this.#isClosed) return;
    this.#errno = errno;
    this.leftByPeer();
    this.#owed.clear();
    this.#endReading();
    this.sink.end();
    this.settle();
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    if (type === OutOfBand.NO_READER) {
      stream.consumed(0, 1);
      this.leftByPeer();
      if (!this.source.isOver) {
        this.#endReading();
        stream.end();
      }
    } else if (type === OutOfBand.RIGHTS) this.#rights(stream, bytes);
    else if (type === OutOfBand.CREDENTIALS) {
      this.marked(stream, { credentials: decodeCredentials(bytes) });
    } else if (!this.took(stream, type, bytes)) {
      throw new ProtocolError(`message ${type} beside a stream that has no such`);
    }
    this.settle();
  }

  onWritable(): void {
    this.#tellOwed();
    this.goOn();
  }

  onClosed(): void {}

  /** Something is to be done with the data that comes next. */
  protected marked(stream: Stream, what: Mark["what"]): void {
    this.#wrote(this.sink.mark(stream, what));
  }

  /** Descriptors come with the next bytes, which wait until they are here. */
  #rights(stream: Stream, bytes: Uint8Array): void {
    const [least, most] = this.pieceBytes;
    const length = bytes.length >= 4 ? Buffer.from(bytes).readUInt32LE(0) : -1;
    if (length < least || length > most) throw new ProtocolError("descriptors without data");
    const what = pendingRights(length);
    this.marked(stream, what);
    let isNow = true;
    this.ancillary.unpack(bytes.slice(4), (fds) => {
      if (typeof fds === "number") this.close(fds);
      else if (this.sink.isOver) for (const fd of fds) this.ancillary.release(fd);
      else {
        what.fds = fds;
        this.#write();
        if (!isNow) this.settle();
      }
    });
    isNow = false;
  }

  /** What the source has waited for is there. */
  protected goOn(): void {
    this.source.blocked = false;
    this.#toldInVain = false;
    this.#read();
    this.settle();
  }

  /** Reads what there is and the stream takes. */
  #read(): void {
    const stream = this.#stream;
    if (this.#isClosed || this.source.isOver || stream === undefined) return;
    const errno = this.source.pull(stream, this.#hungUp);
    if (errno !== 0) this.close(errno);
    else if (this.source.isOver) stream.end();
  }

  #endReading(): void {
    if (!this.source.isOver) this.shutReading();
    this.source.isOver = true;
  }

  #write(): void {
    if (this.#stream === undefined || this.sink.isOver) return;
    this.#wrote(this.sink.drain(this.#stream));
  }

  #wrote(errno: number): void {
    if (errno === 0) return;
    if (NOBODY_READS.has(errno)) this.noReader(errno);
    else this.close(errno);
  }

  /** Nobody takes what is written here. */
  protected noReader(errno: number = E.EPIPE): void {
    if (this.#isClosed || this.sink.isOver || this.#stream === undefined) return;
    this.sink.abandon(this.#stream);
    if (this.halfCloses) this.tell(OutOfBand.NO_READER, NOTHING);
    else this.close(errno);
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

  /** Whether there is nothing left to be done. */
  protected get isOver(): boolean {
    return this.source.isOver && this.sink.isOver;
  }

  /** Closes what is over, else waits for what is needed next. */
  protected settle(): void {
    if (this.#isClosed || this.#stream === undefined) return;
    if (!this.isOver) this.#wait();
    else if (!this.#owed.has(OutOfBand.NO_READER)) this.#finish(this.#errno);
  }

  #wait(): void {
    let events = 0;
    if (this.source.isOver) this.#toldInVain = false;
    else if (!this.source.blocked) events |= EPOLLIN | EPOLLPRI;
    // To be told once in vain costs less than to say each time that nothing can be taken.
    else if (!this.#toldInVain) events |= Math.max(this.#events, 0) & (EPOLLIN | EPOLLPRI);
    if (this.sink.wantsRoom) events |= EPOLLOUT;
    this.#await(events);
  }

  #await(events: number): void {
    // Nothing more can happen to it; what is left in it is read when the stream takes more.
    if (this.#hungUp && (events & ~EPOLLPRI) === 0) {
      if (this.#events >= 0) this.#loop.remove(this.fd);
      this.#events = -1;
      return;
    }
    if (this.#events < 0) this.#loop.add(this.fd, events, this);
    else if (this.#events !== events) this.#loop.modify(this.fd, events);
    this.#events = events;
  }

  #finish(errno: number): void {
    this.#isClosed = true;
    this.source.close();
    if (this.#stream !== undefined) {
      this.sink.abandon(this.#stream);
      this.#stream.end();
    }
    if (this.#events >= 0) this.#loop.remove(this.fd);
    close(this.fd);
    this.ancillary.close();
    this.#ended(errno);
  }
}
