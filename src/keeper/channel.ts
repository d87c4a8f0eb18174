/**
 * Between a server and the process that keeps what is to outlive it: a unix SEQPACKET
 * connection, one JSON object a message, with a descriptor beside some of them. Both ends are
 * this program, of one release or two that say the same (place.ts: version): what comes is not
 * checked as a peer's would be.
 */
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { recvFds, sendFds } from "../sys/scm.ts";
import { setBuffers } from "../sys/socket.ts";

/** Bytes of a message, and characters of a line of the log in one. */
export const MESSAGE_BYTES = 64 * 1024;
export const LINE_MAX = 4096;
/** Of the kernel's queue: hundreds of messages. */
const SOCKET_BYTES = 1024 * 1024;
/** Messages that wait here for room in the kernel's queue; an end that takes none is given up. */
const QUEUE_MAX = 16_384;

const room = allocate(MESSAGE_BYTES);

/**
 * Sends one message by `fd`, and with it the descriptor `beside` (-1: none), which stays the
 * caller's: the bytes sent or -errno, EAGAIN or ENOBUFS where there is no room now.
 */
export function sendMessage(fd: number, text: string, beside: number): number {
  const length = room.bytes.utf8Write(text, 0);
  if (length < Buffer.byteLength(text)) throw new RangeError("A message is too long");
  return sendFds(fd, room.address, length, beside < 0 ? [] : [beside]);
}

/** One end, which sends `Out` and receives `In`. */
export class Channel<In, Out> {
  readonly fd: number;
  #isOver = false;
  #isClosed = false;
  readonly #waiting: { text: string; beside: number }[] = [];
  /** The descriptor that came with the message received last, or -1. */
  received = -1;

  /** `fd`: a connection that does not block; owned from now on. */
  constructor(fd: number) {
    this.fd = fd;
    setBuffers(fd, SOCKET_BYTES);
  }

  /** Whether the other end is gone: nothing more comes, what is sent goes nowhere. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether messages wait for room: `flush` when the descriptor is writable. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Sends a message, and with it the descriptor `beside`, which is closed here then. */
  send(message: Out, beside = -1): void {
    const text = JSON.stringify(message);
    if (this.#isOver) {
      if (beside >= 0) close(beside);
      return;
    }
    if (!this.waits && this.#push(text, beside)) return;
    this.#waiting.push({ text, beside });
    if (this.#waiting.length > QUEUE_MAX) this.#end();
  }

  /** Sends what waits, as far as there is room. */
  flush(): void {
    let sent = 0;
    for (const { text, beside } of [...this.#waiting]) {
      if (this.#isOver || !this.#push(text, beside)) break;
      sent++;
    }
    this.#waiting.splice(0, sent);
  }

  /** The next message, and `received`, the caller's; undefined when there is none now, or no more (`isOver`). */
  receive(): In | undefined {
    if (this.#isOver) return undefined;
    const { n, fds } = recvFds(this.fd, room.address, room.size, 1);
    this.received = fds[0] ?? -1;
    if (n > 0) return JSON.parse(room.bytes.toString("utf8", 0, n)) as In;
    if (n !== -E.EAGAIN && n !== -E.EINTR) this.#end();
    return undefined;
  }

  /** Closes the descriptor, which is to be in no Loop any more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end();
    close(this.fd);
  }

  #end(): void {
    this.#isOver = true;
    for (const { beside } of this.#waiting.splice(0)) if (beside >= 0) close(beside);
  }

  /** Sends one message; false when there is no room. */
  #push(text: string, beside: number): boolean {
    const sent = sendMessage(this.fd, text, beside);
    if (sent === -E.EAGAIN || sent === -E.ENOBUFS) return false;
    if (beside >= 0) close(beside);
    if (sent < 0) this.#end();
    return true;
  }
}
