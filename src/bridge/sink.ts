/** The other direction of a pump: from a stream to a descriptor, straight from where it was received. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { SPLICE_F_MOVE, SPLICE_F_NONBLOCK, splice } from "../sys/io.ts";
import { sendMessage } from "../sys/message.ts";
import type { PeerCredentials } from "../sys/sockopt.ts";
import { Backlog } from "./backlog.ts";
import { closeRights, type Mark } from "./marks.ts";
import { type Port, Shape } from "./port.ts";

const SPLICE_FLAGS = SPLICE_F_NONBLOCK | SPLICE_F_MOVE;

export class Sink {
  readonly #port: Port;
  readonly #release: (fd: number) => void;
  readonly #backlog = new Backlog();
  /** What is to be done at places in what waits; at most a stream's credit of messages. */
  #marks: Mark[] = [];
  #isEnded = false;
  /** Whose bytes are written. */
  #credentials: PeerCredentials | undefined;
  /** Descriptors that go with the next byte, and where the bytes end that they were sent with. */
  #fds: number[] | undefined;
  #pieceEnd = Number.POSITIVE_INFINITY;
  /** Bytes that the descriptor has taken. */
  bytes = 0;
  /** Nothing more is written. */
  isOver = false;

  /** `release` closes descriptors that have come. */
  constructor(port: Port, release: (fd: number) => void) {
    this.#port = port;
    this.#release = release;
  }

  /** Bytes that the descriptor has not taken yet. */
  get waiting(): number {
    return this.#backlog.length;
  }

  /** Whether it would take more now if the descriptor did, and not descriptors are waited for. */
  get wantsRoom(): boolean {
    if (this.isOver) return false;
    const mark = this.#marks[0];
    if (mark?.at !== this.bytes) return this.#backlog.length > 0;
    return !("fds" in mark.what) || mark.what.fds !== undefined;
  }

  /** Bytes have come, which lie at `address`: 0, or the errno of writing them. */
  take(stream: Stream, bytes: Uint8Array, address: number): number {
    if (this.#marks.length > 0 || this.#fds !== undefined) {
      this.#backlog.put(bytes);
      return this.drain(stream);
    }
    let wrote = 0;
    if (this.#backlog.length === 0) {
      wrote = this.#write(address, Math.min(bytes.length, this.#pieceEnd - this.bytes));
      if (wrote < 0 && wrote !== -E.EAGAIN && wrote !== -E.EINTR) {
        stream.consumed(bytes.length);
        return -wrote;
      }
      wrote = Math.max(wrote, 0);
      this.#account(stream, wrote);
    }
    if (wrote === bytes.length) return 0;
    const wasEmpty = this.#backlog.length === 0;
    this.#backlog.put(bytes.subarray(wrote));
    // Less than all for the end of a piece, not for want of room.
    return wasEmpty && wrote > 0 ? this.drain(stream) : 0;
  }

  /** A pipe through which much goes takes more of it as pages. */
  get takesPipes(): boolean {
    const { shape, isWide } = this.#port;
    return isWide && shape === Shape.WRITE_END && !this.isOver && this.#backlog.length === 0;
  }

  /** As `take`, with bytes in a pipe; only while `takesPipes`. */
  takePipe(stream: Stream, fd: number, length: number): number {
    const isPlain = this.#marks.length === 0 && this.#fds === undefined;
    const moved = isPlain ? Math.max(0, splice(fd, this.#port.fd, length, SPLICE_FLAGS)) : 0;
    this.#account(stream, moved);
    if (moved === length) return 0;
    this.#backlog.putPipe(fd, length - moved);
    return this.drain(stream);
  }

  /** Something is to be done behind what has come until now. */
  mark(stream: Stream, what: Mark["what"]): number {
    if (this.isOver) {
      stream.consumed(0, 1);
      closeRights([{ at: 0, what }], this.#release);
      return 0;
    }
    this.#marks.push({ at: this.bytes + this.#backlog.length, what });
    return this.drain(stream);
  }

  /** Writes what waits, as far as the descriptor takes it: 0, or the errno of that. */
  drain(stream: Stream): number {
    while (!this.isOver) {
      const mark = this.#marks[0];
      if (mark?.at === this.bytes && this.#fds === undefined) {
        const result = this.#reach(mark);
        if (result === -E.EAGAIN) return 0;
        if (result < 0) return -result;
        this.#marks.shift();
        stream.consumed(0, 1);
        continue;
      }
      const until = Math.min(mark?.at ?? Number.POSITIVE_INFINITY, this.#pieceEnd);
      const n = Math.min(this.#backlog.length, until - this.bytes);
      if (n <= 0) break;
      const wrote = this.#write(this.#backlog.address, n);
      if (wrote === -E.EAGAIN) return 0;
      if (wrote < 0 && wrote !== -E.EINTR) return -wrote;
      if (wrote <= 0) continue;
      this.#backlog.drop(wrote);
      this.#account(stream, wrote);
    }
    this.#finishIfEnded();
    return 0;
  }

  /** Does what is to be done at `mark`: 0, or -errno; EAGAIN where it is too early. */
  #reach({ at, what }: Mark): number {
    if ("credentials" in what) {
      this.#credentials = what.credentials;
      return 0;
    }
    if ("urgent" in what) {
      const sent = this.#port.sendUrgent(what.urgent);
      return Math.min(sent, 0);
    }
    if (what.fds === undefined) return -E.EAGAIN;
    this.#fds = what.fds;
    what.fds = undefined;
    this.#pieceEnd = at + what.length;
    return 0;
  }

  #write(address: number, n: number): number {
    if (this.#credentials === undefined && this.#fds === undefined) {
      return this.#port.write(address, n);
    }
    const beside = { fds: this.#fds, credentials: this.#credentials };
    const wrote = sendMessage(this.#port.fd, address, n, beside);
    if (wrote > 0) this.#closeFds();
    if (wrote === -E.EPERM && this.#credentials !== undefined) {
      // Only root may speak for others.
      this.#credentials = undefined;
      return this.#write(address, n);
    }
    return wrote;
  }

  #closeFds(): void {
    if (this.#fds === undefined) return;
    for (const fd of this.#fds) this.#release(fd);
    this.#fds = undefined;
  }

  /** Nothing more comes: once all is written, the descriptor's reader is told. */
  end(): void {
    this.#isEnded = true;
    this.#finishIfEnded();
  }

  /** Nobody takes what waits, nor what comes. */
  abandon(stream: Stream): void {
    this.isOver = true;
    stream.consumed(this.#backlog.length, this.#marks.length);
    this.#backlog.clear();
    closeRights(this.#marks, this.#release);
    this.#marks = [];
    this.#closeFds();
  }

  #account(stream: Stream, wrote: number): void {
    this.bytes += wrote;
    if (this.bytes >= this.#pieceEnd) this.#pieceEnd = Number.POSITIVE_INFINITY;
    if (wrote > 0) stream.consumed(wrote);
  }

  #finishIfEnded(): void {
    if (this.isOver || !this.#isEnded || this.#backlog.length > 0) return;
    // Descriptors whose bytes never came go nowhere.
    const last = this.#marks[0];
    if (last !== undefined && !("fds" in last.what)) return;
    closeRights(this.#marks, this.#release);
    this.#closeFds();
    this.isOver = true;
    this.#port.endWriting();
  }
}
