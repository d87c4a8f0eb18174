/** One sender to a bound DGRAM socket, and its connection (datagrams.ts). */
import { EPOLLIN, EPOLLOUT } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { receivedFds, receiveMessage, sendMessage } from "../sys/message.ts";
import { close } from "../sys/open.ts";
import type { PeerCredentials } from "../sys/sockopt.ts";
import { MESSAGE_MAX } from "../wire/limits.ts";
import type { Loop, Watched } from "./loop.ts";

/** Who sends. */
export interface Sender {
  /** sun_path; empty for a socket without a name, which nothing can be sent back to. */
  readonly name: Uint8Array;
  readonly credentials: PeerCredentials;
}

export interface DatagramLineOptions {
  readonly loop: Loop;
  /** The bound socket: the caller's, who closes it after `close`. */
  readonly fd: number;
  /** Joins `fd`, SEQPACKET, to a stream for `sender`; false: not now, and `fd` stays where it is. */
  join(sender: Sender, fd: number): boolean;
  /** Says what could not go on. */
  log(text: string): void;
}

export interface LineOwner {
  /** Nothing more comes back, or can. */
  ended(): void;
  /** There is room again. */
  goOn(): void;
  /** It is closed. */
  gone?(): void;
}

/** How soon a full queue is tried again, at first and at most: twice as late each time. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 20;

interface Answer {
  readonly data: Buffer;
  readonly fds: readonly number[];
}

/** Where datagrams are received and sent from, one at a time. */
export const room = allocate(MESSAGE_MAX);

/** One sender: what it sends goes into `fd`, what comes back from there goes to its name. */
export class DatagramLine implements Watched {
  readonly key: string;
  readonly fd: number;
  lastMs: number;
  readonly #options: DatagramLineOptions;
  readonly #sender: Sender;
  readonly #owner: LineOwner;
  /** The end for the stream, until it has one. */
  #far: number;
  #events = EPOLLIN;
  #awaitsRoom = false;
  /** An answer for which the receiver has no room yet. */
  #held: Answer | undefined;
  #cancelRetry = () => {};

  constructor(
    options: DatagramLineOptions,
    key: string,
    sender: Sender,
    [near, far]: readonly [number, number],
    owner: LineOwner,
  ) {
    this.#options = options;
    this.key = key;
    this.#sender = sender;
    this.fd = near;
    this.#far = far;
    this.#owner = owner;
    this.lastMs = options.loop.nowMs;
    options.loop.add(near, EPOLLIN, this);
  }

  /** Has a stream, if one can be had now. */
  join(): boolean {
    if (this.#far >= 0 && !this.#options.join(this.#sender, this.#far)) return false;
    this.#far = -1;
    return true;
  }

  /** Sends `length` bytes of the room as the sender, by whom the process is not told: it may be gone. */
  send(length: number, fds: readonly number[], { uid, gid }: PeerCredentials): number {
    const credentials = { pid: process.pid, uid, gid };
    const sent = sendMessage(this.fd, room.address, length, { fds, credentials });
    // Only root may speak for others.
    return sent === -E.EPERM ? sendMessage(this.fd, room.address, length, { fds }) : sent;
  }

  awaitRoom(awaits: boolean): void {
    this.#awaitsRoom = awaits;
    this.#watch();
  }

  /** An end that has hung up says so whatever is asked for: nobody does while an answer is held. */
  #watch(): void {
    const events = (this.#held === undefined ? EPOLLIN : 0) | (this.#awaitsRoom ? EPOLLOUT : 0);
    if (events === this.#events) return;
    const { loop } = this.#options;
    if (events === 0) loop.remove(this.fd);
    else if (this.#events === 0) loop.add(this.fd, events, this);
    else loop.modify(this.fd, events);
    this.#events = events;
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#owner.goOn();
    if ((events & ~EPOLLOUT) === 0 || this.#held !== undefined) return;
    if (!this.#answer()) this.#owner.ended();
  }

  /** Passes on one answer, now or later; false where there are none any more. */
  #answer(): boolean {
    const length = receiveMessage(this.fd, room.address, MESSAGE_MAX);
    if (length < 0) return length === -E.EAGAIN || length === -E.EINTR;
    const fds = receivedFds();
    if (length === 0 && fds.length === 0) return false;
    const sent = this.#sendAnswer(length, fds);
    if (isFull(sent)) this.#hold({ data: Buffer.from(room.bytes.subarray(0, length)), fds });
    else this.#answered(sent, fds);
    return true;
  }

  #sendAnswer(length: number, fds: readonly number[]): number {
    const { name } = this.#sender;
    if (name.length === 0) return -E.ENOTCONN;
    return sendMessage(this.#options.fd, room.address, length, { fds, name });
  }

  #answered(sent: number, fds: readonly number[]): void {
    for (const fd of fds) close(fd);
    this.lastMs = this.#options.loop.nowMs;
    if (sent < 0) this.#options.log(`An answer to a datagram is lost: errno ${-sent}`);
  }

  /**
   * The receiver's queue is full: nothing more is taken, so that who answers waits in the end,
   * as on one machine. When there is room the kernel tells only who is connected.
   */
  #hold(held: Answer): void {
    this.#held = held;
    this.#watch();
    this.#tryLater(RETRY_MIN_MS);
  }

  #tryLater(ms: number): void {
    this.#cancelRetry = this.#options.loop.after(ms, () => {
      const held = this.#held as Answer;
      room.bytes.set(held.data);
      const sent = this.#sendAnswer(held.data.length, held.fds);
      this.lastMs = this.#options.loop.nowMs;
      if (isFull(sent)) {
        this.#tryLater(Math.min(2 * ms, RETRY_MAX_MS));
        return;
      }
      this.#held = undefined;
      this.#answered(sent, held.fds);
      this.#watch();
    });
  }

  close(): void {
    this.#cancelRetry();
    if (this.#held !== undefined) this.#answered(-E.EAGAIN, this.#held.fds);
    this.#held = undefined;
    this.#options.loop.remove(this.fd);
    close(this.fd);
    if (this.#far >= 0) close(this.#far);
    this.#far = -1;
    this.#owner.gone?.();
  }
}

function isFull(sent: number): boolean {
  return sent === -E.EAGAIN || sent === -E.ENOBUFS;
}
