/**
 * Joins a socket that keeps messages apart, SEQPACKET or connected DGRAM, to a stream:
 * each message crosses whole, also one without bytes, up to MESSAGE_MAX. Ends cross as those
 * of byte pumps do (pumpbytes.ts); a DGRAM socket has no end that could be seen.
 */
import type { Stream, StreamHandler } from "../session/stream.ts";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { SHUT_RD, SHUT_WR, SOCK_DGRAM, setBuffers, shutdown } from "../sys/socket.ts";
import { ProtocolError } from "../wire/error.ts";
import { MESSAGE_MAX } from "../wire/limits.ts";
import { OutOfBand } from "../wire/streams.ts";
import { type Ancillary, decodeCredentials, NO_ANCILLARY } from "./ancillary.ts";
import type { Loop, Watched } from "./loop.ts";
import { pendingRights } from "./marks.ts";
import { MessageSink } from "./messagesink.ts";
import { LENGTH_BYTES, MessageSource } from "./messagesource.ts";
import type { PumpFigures } from "./pumpbytes.ts";

export interface MessagePumpOptions {
  readonly loop: Loop;
  /** The pump owns it from now on, and closes it. */
  readonly fd: number;
  /** SOCK_SEQPACKET or SOCK_DGRAM. */
  readonly type: number;
  /** Carries descriptors, and closed with the pump; without it none cross. */
  readonly ancillary?: Ancillary;
  /** Who is at the other end of the socket, for people. */
  readonly peer?: string;
  /** Both directions are over and the socket is closed, as of BytePump. */
  readonly ended?: (errno: number) => void;
}

const NOTHING = new Uint8Array(0);
/** Errors that say that nobody takes what is sent. */
const NOBODY_READS: ReadonlySet<number> = new Set([E.EPIPE, E.ECONNRESET, E.ECONNREFUSED]);

/** The stream's handler: see BytePump. */
export class MessagePump implements StreamHandler, Watched {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #type: number;
  readonly #peer: string;
  readonly #ancillary: Ancillary;
  readonly #ended: (errno: number) => void;
  readonly #since: number;
  readonly #source: MessageSource;
  readonly #sink: MessageSink;
  #stream: Stream | undefined;
  /** EPOLL* bits that are waited for; -1: not in the loop. */
  #events = -1;
  #hungUp = false;
  #isClosed = false;
  #errno = 0;
  #owesNoReader = false;

  constructor(options: MessagePumpOptions) {
    this.#loop = options.loop;
    this.#fd = options.fd;
    this.#type = options.type;
    this.#peer = options.peer ?? "";
    this.#ancillary = options.ancillary ?? NO_ANCILLARY;
    this.#ended = options.ended ?? (() => {});
    this.#since = options.loop.nowMs;
    this.#source = new MessageSource(this.#fd, this.#type, this.#ancillary, () => this.#goOn());
    const release = (fd: number) => this.#ancillary.release(fd);
    this.#sink = new MessageSink(this.#fd, release, () => shutdown(this.#fd, SHUT_WR));
    // So that the socket takes the largest message (socket(7): the kernel doubles it).
    setBuffers(this.#fd, MESSAGE_MAX);
  }

  /** Begins: reads at once what there is. */
  start(stream: Stream): void {
    this.#stream = stream;
    this.#read();
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

  /** Whether the socket is closed. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Gives up at once: the peer is told `errno`, the socket is closed. */
  close(errno: number): void {
    if (this.#isClosed) return;
    this.#stream?.reset(errno);
    this.#finish(errno);
  }

  onEvents(events: number): void {
    const broken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if (broken) this.#hungUp = true;
    if ((events & EPOLLOUT) !== 0 || broken) this.#write();
    if ((events & EPOLLIN) !== 0 || broken) this.#read();
    if (broken) this.#noReader();
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

  onReset(_: Stream, errno: number): void {
    if (this.#isClosed) return;
    this.#errno = errno;
    this.#owesNoReader = false;
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
    else if (type === OutOfBand.CREDENTIALS) {
      this.#sink.mark(stream, { credentials: decodeCredentials(bytes) });
    } else throw new ProtocolError(`message ${type} beside a stream of messages`);
    this.#settle();
  }

  /** Descriptors go with the next message, which waits until they are here. */
  #rights(stream: Stream, bytes: Uint8Array): void {
    if (bytes.length < LENGTH_BYTES) throw new ProtocolError("descriptors without a message");
    const what = pendingRights(0);
    this.#sink.mark(stream, what);
    let isNow = true;
    this.#ancillary.unpack(bytes.slice(LENGTH_BYTES), (fds) => {
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
    this.#tellNoReader();
    this.#goOn();
  }

  onClosed(): void {}

  #goOn(): void {
    this.#source.blocked = false;
    this.#read();
    this.#settle();
  }

  #read(): void {
    const stream = this.#stream;
    if (this.#isClosed || this.#source.isOver || this.#source.blocked || !stream) return;
    const errno = this.#source.pull(stream, this.#hungUp);
    if (errno !== 0) this.close(errno);
    else if (this.#source.isOver) stream.end();
  }

  #endReading(): void {
    if (!this.#source.isOver) shutdown(this.#fd, SHUT_RD);
    this.#source.isOver = true;
  }

  #write(): void {
    if (this.#stream === undefined || this.#sink.isOver) return;
    this.#wrote(this.#sink.drain(this.#stream));
  }

  #wrote(errno: number): void {
    if (errno === 0) return;
    if (NOBODY_READS.has(errno)) this.#noReader();
    else this.close(errno);
  }

  #noReader(): void {
    if (this.#isClosed || this.#sink.isOver || this.#stream === undefined) return;
    this.#sink.abandon(this.#stream);
    // Nor will a socket without connections send anything: its peer is gone.
    if (this.#type === SOCK_DGRAM) this.close(E.ECONNREFUSED);
    else {
      this.#owesNoReader = true;
      this.#tellNoReader();
    }
  }

  #tellNoReader(): void {
    if (!this.#owesNoReader) return;
    if (this.#stream?.sendOutOfBand(OutOfBand.NO_READER, NOTHING)) this.#owesNoReader = false;
  }

  #settle(): void {
    if (this.#isClosed || this.#stream === undefined) return;
    if (this.#source.isOver && this.#sink.isOver) {
      if (!this.#owesNoReader) this.#finish(this.#errno);
      return;
    }
    const reads = !this.#source.isOver && !this.#source.blocked ? EPOLLIN : 0;
    const events = reads | (this.#sink.wantsRoom ? EPOLLOUT : 0);
    if (this.#hungUp && events === 0) {
      if (this.#events >= 0) this.#loop.remove(this.#fd);
      this.#events = -1;
      return;
    }
    if (this.#events < 0) this.#loop.add(this.#fd, events, this);
    else if (this.#events !== events) this.#loop.modify(this.#fd, events);
    this.#events = events;
  }

  #finish(errno: number): void {
    this.#isClosed = true;
    this.#source.close();
    if (this.#stream !== undefined) {
      this.#sink.abandon(this.#stream);
      this.#stream.end();
    }
    if (this.#events >= 0) this.#loop.remove(this.#fd);
    close(this.#fd);
    this.#ancillary.close();
    this.#ended(errno);
  }
}
