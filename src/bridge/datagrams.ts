/**
 * A bound DGRAM socket that many send to: each sender becomes a connection of its own, a
 * pair of SEQPACKET sockets, whose far end is joined to a stream like any other. What comes
 * back on it goes to the sender's name. Whoever receives slowly slows all, as on one machine.
 */
import { EPOLLIN } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import {
  MSG_CTRUNC,
  MSG_TRUNC,
  receivedCredentials,
  receivedFds,
  receivedFlags,
  receivedName,
  receiveMessage,
} from "../sys/message.ts";
import { close } from "../sys/open.ts";
import { SOCK_SEQPACKET, setBuffers, socketPair } from "../sys/socket.ts";
import { type PeerCredentials, SO_PASSCRED, SOL_SOCKET, setInt } from "../sys/sockopt.ts";
import { MESSAGE_MAX } from "../wire/limits.ts";
import { DatagramLine, type DatagramLineOptions, room, type Sender } from "./datagramline.ts";
import type { Watched } from "./loop.ts";

export type { Sender } from "./datagramline.ts";

/** Datagrams in a row, before others have their turn. */
const DATAGRAMS_MAX = 16;
/** Senders at once: the one that was heard of least lately makes room. */
const SENDERS_MAX = 512;
/** How long a sender is remembered that says nothing. */
const IDLE_MS = 30_000;
/** How soon a stream is tried to be opened again. */
const RETRY_MS = 10;
const NOBODY: PeerCredentials = { pid: 0, uid: 65_534, gid: 65_534 };

/** A datagram that waits for its line. */
interface Held {
  readonly line: DatagramLine;
  readonly data: Buffer;
  readonly fds: readonly number[];
  readonly credentials: PeerCredentials;
}

export class DatagramFan implements Watched {
  readonly #options: DatagramLineOptions;
  readonly #lines = new Map<string, DatagramLine>();
  #held: Held | undefined;
  /** Ends for answers so far. */
  #answers = 0;
  #isWatched = false;
  #isPaused = false;
  #cancelIdle: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;

  constructor(options: DatagramLineOptions) {
    this.#options = options;
    setInt(options.fd, SOL_SOCKET, SO_PASSCRED, 1);
  }

  /** Takes datagrams, or leaves them in the kernel's queue. */
  serve(serves: boolean): void {
    this.#isPaused = !serves;
    this.#settle();
  }

  /**
   * An end (SEQPACKET) of which all that comes is sent to the path `to` (a byte a character),
   * from the bound socket; or -errno. `gone` is called once it is no more.
   */
  answering(to: string, gone: () => void): number {
    const ends = socketPair(SOCK_SEQPACKET);
    if (typeof ends === "number") return ends;
    for (const end of ends) setBuffers(end, MESSAGE_MAX);
    const [near, far] = ends;
    const sender = { name: Buffer.from(to, "latin1"), credentials: NOBODY };
    const key = `answers ${this.#answers++}`;
    const line = new DatagramLine(this.#options, key, sender, [near, -1], {
      ended: () => this.#drop(line),
      goOn: () => this.#goOn(),
      gone,
    });
    this.#makeRoom();
    this.#lines.set(line.key, line);
    this.#watchIdle();
    return far;
  }

  /** Ends all senders' connections. */
  close(): void {
    this.#isPaused = true;
    for (const fd of this.#held?.fds ?? []) close(fd);
    this.#held = undefined;
    this.#settle();
    for (const line of [...this.#lines.values()]) this.#drop(line);
    this.#cancelIdle?.();
    this.#cancelRetry?.();
  }

  onEvents(): void {
    for (let i = 0; i < DATAGRAMS_MAX && this.#held === undefined; i++) {
      if (!this.#receive()) break;
    }
    this.#settle();
  }

  /** Takes one datagram; whether there was one. */
  #receive(): boolean {
    const { fd, log } = this.#options;
    const length = receiveMessage(fd, room.address, MESSAGE_MAX, MSG_TRUNC);
    if (length < 0) return length === -E.EINTR;
    const sender = { name: receivedName(), credentials: receivedCredentials() ?? NOBODY };
    const fds = receivedFds();
    const isLost = length > MESSAGE_MAX || (receivedFlags() & MSG_CTRUNC) !== 0;
    const line = isLost ? undefined : this.#lineOf(sender);
    if (line === undefined) {
      for (const one of fds) close(one);
      log(`A datagram of ${length} bytes from process ${sender.credentials.pid} is lost`);
      return true;
    }
    const { credentials } = sender;
    this.#pass({ line, data: Buffer.from(room.bytes.subarray(0, length)), fds, credentials });
    return true;
  }

  #lineOf(sender: Sender): DatagramLine | undefined {
    const { uid, gid, pid } = sender.credentials;
    const key = `${uid}:${gid}:${pid}:${Buffer.from(sender.name).toString("latin1")}`;
    const known = this.#lines.get(key);
    if (known !== undefined) {
      // The one that was heard of last is last.
      this.#lines.delete(key);
      this.#lines.set(key, known);
      known.lastMs = this.#options.loop.nowMs;
      return known;
    }
    const ends = socketPair(SOCK_SEQPACKET);
    if (typeof ends === "number") return undefined;
    for (const end of ends) setBuffers(end, MESSAGE_MAX);
    this.#makeRoom();
    const line = new DatagramLine(this.#options, key, sender, ends, {
      ended: () => this.#drop(line),
      goOn: () => this.#goOn(),
    });
    this.#lines.set(key, line);
    this.#watchIdle();
    return line;
  }

  #makeRoom(): void {
    const [oldest] = this.#lines.values();
    if (this.#lines.size >= SENDERS_MAX && oldest !== undefined) this.#drop(oldest);
  }

  /** Passes a datagram on to its stream, now or when there is room. */
  #pass(held: Held): void {
    const { line, data, fds, credentials } = held;
    this.#held = held;
    if (!line.join()) {
      this.#cancelRetry ??= this.#options.loop.after(RETRY_MS, () => {
        this.#cancelRetry = undefined;
        this.#goOn();
      });
      return;
    }
    room.bytes.set(data);
    const sent = line.send(data.length, fds, credentials);
    if (sent === -E.EAGAIN) {
      line.awaitRoom(true);
      return;
    }
    line.awaitRoom(false);
    this.#held = undefined;
    for (const fd of fds) close(fd);
    if (sent < 0) this.#drop(line);
  }

  #goOn(): void {
    if (this.#held !== undefined) this.#pass(this.#held);
    this.#settle();
  }

  #drop(line: DatagramLine): void {
    if (this.#lines.get(line.key) !== line) return;
    this.#lines.delete(line.key);
    line.close();
    if (this.#held?.line !== line) return;
    for (const fd of this.#held.fds) close(fd);
    this.#held = undefined;
    this.#settle();
  }

  #settle(): void {
    const { loop, fd } = this.#options;
    const wants = !this.#isPaused && this.#held === undefined;
    if (wants && !this.#isWatched) this.#isWatched = loop.add(fd, EPOLLIN, this) === 0;
    if (wants || !this.#isWatched) return;
    loop.remove(fd);
    this.#isWatched = false;
  }

  #watchIdle(): void {
    this.#cancelIdle ??= this.#options.loop.after(IDLE_MS, () => {
      this.#cancelIdle = undefined;
      const since = this.#options.loop.nowMs - IDLE_MS;
      for (const line of [...this.#lines.values()]) if (line.lastMs < since) this.#drop(line);
      if (this.#lines.size > 0) this.#watchIdle();
    });
  }
}
