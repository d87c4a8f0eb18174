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
    const events = awaits ? EPOLLIN | EPOLLOUT : EPOLLIN;
    if (events !== this.#events) this.#options.loop.modify(this.fd, events);
    this.#events = events;
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#owner.goOn();
    if ((events & ~EPOLLOUT) !== 0 && !this.#answer()) this.#owner.ended();
  }

  /** Passes on one answer; false where there are none any more. */
  #answer(): boolean {
    const length = receiveMessage(this.fd, room.address, MESSAGE_MAX);
    if (length < 0) return length === -E.EAGAIN || length === -E.EINTR;
    const fds = receivedFds();
    if (length === 0 && fds.length === 0) return false;
    const { name } = this.#sender;
    const sent =
      name.length === 0
        ? -E.ENOTCONN
        : sendMessage(this.#options.fd, room.address, length, { fds, name });
    for (const fd of fds) close(fd);
    this.lastMs = this.#options.loop.nowMs;
    if (sent < 0) this.#options.log(`An answer to a datagram is lost: errno ${-sent}`);
    return true;
  }

  close(): void {
    this.#options.loop.remove(this.fd);
    close(this.fd);
    if (this.#far >= 0) close(this.#far);
    this.#far = -1;
    this.#owner.gone?.();
  }
}
