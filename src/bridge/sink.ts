/** The other direction of a pump: from a stream to a descriptor, straight from where it was received. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { Backlog } from "./backlog.ts";
import type { Port } from "./port.ts";

export class Sink {
  readonly #port: Port;
  readonly #backlog = new Backlog();
  #isEnded = false;
  /** Bytes that the descriptor has taken. */
  bytes = 0;
  /** Nothing more is written. */
  isOver = false;

  constructor(port: Port) {
    this.#port = port;
  }

  /** Bytes that the descriptor has not taken yet. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Bytes have come, which lie at `address`: 0, or the errno of writing them. */
  take(stream: Stream, bytes: Uint8Array, address: number): number {
    let wrote = 0;
    if (this.#backlog.length === 0) {
      const result = this.#port.write(address, bytes.length);
      if (result < 0 && result !== -E.EAGAIN && result !== -E.EINTR) {
        stream.consumed(bytes.length);
        return -result;
      }
      wrote = Math.max(result, 0);
      this.#account(stream, wrote);
    }
    if (wrote < bytes.length) this.#backlog.put(bytes.subarray(wrote));
    return 0;
  }

  /** Writes what waits, as far as the descriptor takes it: 0, or the errno of that. */
  drain(stream: Stream): number {
    while (this.#backlog.length > 0) {
      const { address, length } = this.#backlog;
      const wrote = this.#port.write(address, length);
      if (wrote === -E.EAGAIN) return 0;
      if (wrote < 0 && wrote !== -E.EINTR) return -wrote;
      if (wrote <= 0) continue;
      this.#backlog.drop(wrote);
      this.#account(stream, wrote);
    }
    this.#finishIfEnded();
    return 0;
  }

  /** Nothing more comes: once all is written, the descriptor's reader is told. */
  end(): void {
    this.#isEnded = true;
    this.#finishIfEnded();
  }

  /** Nobody takes what waits, nor what comes. */
  abandon(stream: Stream): void {
    this.isOver = true;
    stream.consumed(this.#backlog.length);
    this.#backlog.clear();
  }

  #account(stream: Stream, wrote: number): void {
    this.bytes += wrote;
    if (wrote > 0) stream.consumed(wrote);
  }

  #finishIfEnded(): void {
    if (this.isOver || !this.#isEnded || this.#backlog.length > 0) return;
    this.isOver = true;
    this.#port.endWriting();
  }
}
