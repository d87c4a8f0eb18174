/**
 * Joins a descriptor that carries bytes to a stream: a unix STREAM socket, an end
 * of a pipe, a terminal.
 *
 * | here | to the stream | from the stream | here |
 * | --- | --- | --- | --- |
 * | end of what is read | EOF | EOF | shutdown(SHUT_WR), or close of a pipe |
 * | nobody reads what is written (EPIPE, HUP) | NO_READER; RESET EPIPE of a pipe | NO_READER | shutdown(SHUT_RD), or close |
 * | ECONNRESET | RESET | RESET | what came before is written, then close |
 */
import type { Stream } from "../session/stream.ts";
import { EPOLLIN, EPOLLPRI } from "../sys/epoll.ts";
import { STREAM_CHUNK_MAX } from "../wire/limits.ts";
import { OutOfBand } from "../wire/streams.ts";
import { BesideSource } from "./besidesource.ts";
import type { Mark } from "./marks.ts";
import { unread } from "./pipeends.ts";
import { Port, Shape } from "./port.ts";
import { type CommonOptions, Pump } from "./pump.ts";
import { Sink } from "./sink.ts";
import { Source } from "./source.ts";

export { Shape } from "./port.ts";
export type { PumpFigures } from "./pump.ts";

/**
 * `ancillary` is for unix sockets alone; without it neither credentials nor out-of-band
 * bytes cross, either.
 */
export interface PumpOptions extends CommonOptions {
  readonly port: Port;
  /** Takes TERMINAL messages. */
  readonly terminal?: (message: Uint8Array) => void;
}

/** The same with a descriptor of a usual shape. */
export interface FdPumpOptions extends Omit<PumpOptions, "port"> {
  readonly fd: number;
  readonly shape: Shape;
  /** Of a socket: other processes have it, too, and go on with it when the pump has ended. */
  readonly isShared?: boolean;
  /** Of a pipe: how large it is made once much goes through it. */
  readonly pipeBytes?: number;
}

export class BytePump extends Pump {
  readonly #port: Port;
  readonly #hasBeside: boolean;
  readonly #terminal: ((message: Uint8Array) => void) | undefined;
  protected readonly source: Source;
  protected readonly sink: Sink;
  protected readonly pieceBytes = [1, STREAM_CHUNK_MAX] as const;

  constructor(options: PumpOptions | FdPumpOptions) {
    const port =
      "port" in options
        ? options.port
        : new Port(options.fd, options.shape, options.isShared, options.pipeBytes);
    super(port.fd, options);
    this.#port = port;
    this.#hasBeside = options.ancillary !== undefined;
    this.#terminal = options.terminal;
    const beside = this.#hasBeside
      ? new BesideSource(port.fd, this.ancillary, () => this.goOn())
      : undefined;
    this.source = new Source(port, beside);
    this.source.isOver = !port.reads;
    this.sink = new Sink(port, (fd) => this.ancillary.release(fd));
    this.sink.isOver = !port.writes;
  }

  protected get halfCloses(): boolean {
    return this.#port.halfCloses;
  }

  override onEvents(events: number): void {
    if ((events & (EPOLLIN | EPOLLPRI)) === EPOLLIN) this.source.sawPlain();
    super.onEvents(events);
  }

  /** Others may have the other end still: what they write from now on is not read. */
  override leftByOwner(): void {
    if (this.isClosed) return;
    this.source.endAfter(unread(this.fd));
    if (this.halfCloses) this.noReader();
    super.leftByOwner();
  }

  protected override leftByPeer(): void {
    this.#port.abandoned();
  }

  protected shutReading(): void {
    this.#port.endReading();
  }

  /** A terminal has one end, not two. */
  protected override get isOver(): boolean {
    const isTerminal = this.#port.shape === Shape.TERMINAL;
    return super.isOver || (isTerminal && (this.source.isOver || this.sink.isOver));
  }

  protected took(stream: Stream, type: number, bytes: Uint8Array): boolean {
    if (type === OutOfBand.TERMINAL && this.#terminal !== undefined) {
      stream.consumed(0, 1);
      this.#terminal(bytes);
      return true;
    }
    if (type !== OutOfBand.URGENT || bytes.length !== 1) return false;
    if (this.#hasBeside) this.marked(stream, { urgent: Uint8Array.from(bytes) });
    else stream.consumed(0, 1);
    return true;
  }

  protected override marked(stream: Stream, what: Mark["what"]): void {
    if (this.#hasBeside || !("credentials" in what)) super.marked(stream, what);
    else stream.consumed(0, 1);
  }
}
