/**
 * What comes on a stream before there is anybody to take it: it is kept, within the stream's
 * credit, and given to whoever takes the stream over.
 */
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";

type Kept = (handler: StreamHandler) => void;

export class HeldStream implements StreamHandler {
  readonly #stream: Stream;
  #kept: Kept[] = [];
  #regions: Region[] = [];
  /** Who has the stream now. */
  #taker: StreamHandler | undefined;
  /** Whether the stream is over: nobody is to take it any more. */
  isOver = false;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  /** `handler` has the stream from now on, and gets what has come. */
  giveTo(handler: StreamHandler): void {
    const stream = this.#stream;
    this.#taker = handler;
    if (!stream.closed && !stream.isReset) stream.handler = handler;
    for (const kept of this.#kept) kept(handler);
    this.#drop();
  }

  /** Who handles the stream: whoever has taken it over, or this. */
  get handler(): StreamHandler {
    return this.#taker ?? this;
  }

  /** Nobody takes it: the peer is told `errno`. */
  refuse(errno: number): void {
    this.#stream.reset(errno);
    this.#drop();
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    const region = allocate(bytes.length);
    region.bytes.set(bytes);
    this.#regions.push(region);
    this.#kept.push((handler) => handler.onData(stream, region.bytes, region.address));
  }

  onEof(stream: Stream): void {
    this.#kept.push((handler) => handler.onEof(stream));
  }

  onReset(stream: Stream, errno: number): void {
    this.#kept.push((handler) => handler.onReset(stream, errno));
    this.isOver = true;
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    const copy = Uint8Array.from(bytes);
    this.#kept.push((handler) => handler.onOutOfBand(stream, type, copy));
  }

  onWritable(): void {}

  onClosed(): void {
    this.isOver = true;
  }

  #drop(): void {
    this.#kept = [];
    for (const region of this.#regions) free(region);
    this.#regions = [];
  }
}
