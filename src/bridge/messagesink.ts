/** The other direction of a message pump: messages that have come go to the socket one by one, whole. */
import type { Stream } from "../session/stream.ts";
import { E } from "../sys/errno.ts";
import { sendMessage } from "../sys/message.ts";
import type { PeerCredentials } from "../sys/sockopt.ts";
import { ProtocolError } from "../wire/error.ts";
import { MESSAGE_MAX, STREAM_WINDOW } from "../wire/limits.ts";
import { Backlog } from "./backlog.ts";
import { closeRights, type Mark } from "./marks.ts";
import { LENGTH_BYTES } from "./messagesource.ts";

export class MessageSink {
  readonly #fd: number;
  readonly #release: (fd: number) => void;
  readonly #shutdown: () => void;
  readonly #backlog = new Backlog();
  #marks: Mark[] = [];
  #isEnded = false;
  #credentials: PeerCredentials | undefined;
  #fds: number[] | undefined;
  /** Bytes of the stream that are done with. */
  #passed = 0;
  /** Bytes that wait and whose credit has been given back, for a message larger than the window. */
  #early = 0;
  #failure = 0;
  /** Bytes of messages that the socket has taken. */
  bytes = 0;
  /** Nothing more is written. */
  isOver = false;
  /** A message waits for room in the socket. */
  wantsRoom = false;

  /** `release` closes descriptors that have come; `shutdown` is called when all has been written that was to be. */
  constructor(fd: number, release: (fd: number) => void, shutdown: () => void) {
    this.#fd = fd;
    this.#release = release;
    this.#shutdown = shutdown;
  }

  get waiting(): number {
    return this.#backlog.length;
  }

  /** Bytes have come, which lie at `address`: 0, or the errno of writing a message. */
  take(stream: Stream, bytes: Uint8Array, address: number): number {
    if (this.#backlog.length > 0) {
      this.#backlog.put(bytes);
      return this.drain(stream);
    }
    const done = this.#process(stream, bytes, address);
    stream.consumed(done);
    this.#backlog.put(bytes.subarray(done));
    this.#consumeEarly(stream);
    return this.#failure;
  }

  /** Something goes with the next message. */
  mark(stream: Stream, what: Mark["what"]): number {
    if (this.isOver) {
      stream.consumed(0, 1);
      closeRights([{ at: 0, what }], this.#release);
      return 0;
    }
    this.#marks.push({ at: this.#passed + this.#backlog.length, what });
    return 0;
  }

  /** Writes what waits, as far as the socket takes it: 0, or the errno of that. */
  drain(stream: Stream): number {
    if (this.isOver) return 0;
    const { length } = this.#backlog;
    const done = this.#process(stream, this.#backlog.first(length), this.#backlog.address);
    this.#backlog.drop(done);
    const early = Math.min(done, this.#early);
    this.#early -= early;
    stream.consumed(done - early);
    this.#consumeEarly(stream);
    this.#finishIfEnded();
    return this.#failure;
  }

  /** Gives credit for a part of a message that is so large that the rest could not come else. */
  #consumeEarly(stream: Stream): void {
    const held = this.#backlog.length - this.#early;
    if (held < LENGTH_BYTES || !this.#isIncomplete()) return;
    if (lengthAt(this.#backlog.first(LENGTH_BYTES), 0) <= STREAM_WINDOW / 2) return;
    stream.consumed(held);
    this.#early += held;
  }

  #isIncomplete(): boolean {
    return this.#backlog.length < LENGTH_BYTES + lengthAt(this.#backlog.first(LENGTH_BYTES), 0);
  }

  /** Sends the whole messages that `bytes` begin with: how many bytes they are. */
  #process(stream: Stream, bytes: Uint8Array, address: number): number {
    this.wantsRoom = false;
    let at = 0;
    while (!this.isOver && this.#failure === 0) {
      if (!this.#reach(stream)) break;
      if (bytes.length - at < LENGTH_BYTES) break;
      const length = lengthAt(bytes, at);
      if (length > MESSAGE_MAX) throw new ProtocolError(`a message of ${length} bytes`);
      if (bytes.length - at - LENGTH_BYTES < length) break;
      if (!this.#write(address + at + LENGTH_BYTES, length)) break;
      at += LENGTH_BYTES + length;
      this.#passed += LENGTH_BYTES + length;
      this.bytes += length;
    }
    return at;
  }

  /** Takes up what goes with the message that is next; false: it is not here yet. */
  #reach(stream: Stream): boolean {
    for (let mark = this.#marks[0]; mark?.at === this.#passed; mark = this.#marks[0]) {
      const { what } = mark;
      if ("credentials" in what) this.#credentials = what.credentials;
      else if ("fds" in what) {
        if (what.fds === undefined) return false;
        this.#fds = [...(this.#fds ?? []), ...what.fds];
        what.fds = undefined;
      }
      this.#marks.shift();
      stream.consumed(0, 1);
    }
    return true;
  }

  /** Sends one message; false: the socket has no room, or is of no use any more. */
  #write(address: number, length: number): boolean {
    const beside = { fds: this.#fds, credentials: this.#credentials };
    const wrote = sendMessage(this.#fd, address, length, beside);
    if (wrote >= 0) {
      for (const fd of this.#fds ?? []) this.#release(fd);
      this.#fds = undefined;
      return true;
    }
    if (wrote === -E.EPERM && this.#credentials !== undefined) {
      // Only root may speak for others.
      this.#credentials = undefined;
      return this.#write(address, length);
    }
    if (wrote === -E.EAGAIN || wrote === -E.ENOBUFS) this.wantsRoom = true;
    else this.#failure = -wrote;
    return false;
  }

  /** Nothing more comes. */
  end(): void {
    this.#isEnded = true;
    this.#finishIfEnded();
  }

  /** Nobody takes what waits, nor what comes. */
  abandon(stream: Stream): void {
    this.isOver = true;
    this.wantsRoom = false;
    stream.consumed(this.#backlog.length - this.#early, this.#marks.length);
    this.#backlog.clear();
    this.#early = 0;
    closeRights(this.#marks, this.#release);
    this.#marks = [];
    for (const fd of this.#fds ?? []) this.#release(fd);
    this.#fds = undefined;
  }

  #finishIfEnded(): void {
    if (this.isOver || !this.#isEnded) return;
    // A message whose end never came goes nowhere.
    if (this.#backlog.length >= LENGTH_BYTES && !this.#isIncomplete()) return;
    this.isOver = true;
    closeRights(this.#marks, this.#release);
    this.#shutdown();
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes.subarray(at, at + LENGTH_BYTES);
  return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
}
