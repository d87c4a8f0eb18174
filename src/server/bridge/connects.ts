/**
 * Connections from the DPU to sockets of the HOST's. A unix socket takes a connection at
 * once, refuses it, or has a full queue: then it is tried again, for the kernel tells
 * nobody when there is room, and whoever connects elsewhere does not wait for that.
 */
import type { Loop } from "../../bridge/loop.ts";
import { type DatagramPlaces, pathOfName, SocketNames } from "../../bridge/names.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { E } from "../../sys/errno.ts";
import { close, dup } from "../../sys/open.ts";
import { autobind, connectAbstract, connectTo, unixSocket } from "../../sys/unixsocket.ts";
import { SocketType } from "../../wire/streams.ts";
import { asCaller, type Caller, callerOf } from "./callers.ts";
import { Holding, type Pump } from "./joining.ts";
import type { Twin } from "./keys.ts";
import { What } from "./messages.ts";
import type { BridgeSession } from "./session.ts";

/** How soon a full queue is tried again, at first and at most: twice as late each time nothing came of it. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 20;
/** How long a queue may stay full. */
const CONNECT_MS = 30_000;
const TYPES: ReadonlySet<unknown> = new Set(Object.values(SocketType));

/** What is connected to, and as whom. */
interface Target {
  readonly session: BridgeSession;
  readonly key: number;
  readonly type: number;
  readonly caller: Caller;
  /** What it is called there, for answers; "" for a name of the kernel's choice. */
  readonly name: string;
}

interface Waiting extends Target {
  readonly stream: Stream;
  readonly holding: Holding;
  readonly sinceMs: number;
  ended: boolean;
}

export class Connects {
  readonly #loop: Loop;
  readonly #names = new SocketNames();
  readonly #places: DatagramPlaces;
  /** By what they connect to, in order. */
  readonly #waiting = new Map<number, Waiting[]>();
  #delayMs = RETRY_MIN_MS;
  #cancelRetry: (() => void) | undefined;

  constructor(loop: Loop, places: DatagramPlaces) {
    this.#loop = loop;
    this.#places = places;
  }

  /** Connections that wait for room in a queue. */
  get waiting(): number {
    let count = 0;
    for (const list of this.#waiting.values()) count += list.length;
    return count;
  }

  /** Takes a stream of kind CONNECT: `[key, type, uid, gid, groups, pid]`. */
  take(session: BridgeSession, stream: Stream, items: readonly unknown[]): StreamHandler | number {
    return this.#take(session, stream, items, "");
  }

  #take(
    session: BridgeSession,
    stream: Stream,
    [key, type, uid, gid, groups]: readonly unknown[],
    name: string,
  ): StreamHandler | number {
    const caller = callerOf(uid, gid, groups);
    if (typeof type !== "number" || !TYPES.has(type)) return E.EPROTONOSUPPORT;
    const twin = targetOf(session, key);
    if (twin === undefined) return E.ESTALE;
    return this.#begin(stream, { session, key: twin.key, type, caller, name });
  }

  /** Takes a stream of kind DATAGRAMS: `[key, uid, gid, groups, pid, name]`. */
  takeDatagrams(
    session: BridgeSession,
    stream: Stream,
    [key, uid, gid, groups, pid, name]: readonly unknown[],
  ): StreamHandler | number {
    if (!(name instanceof Uint8Array)) return E.EPROTO;
    const answering = this.#answering(session, key, pathOfName(name));
    if (answering >= 0) {
      const pump = session.pumpFor(answering, SocketType.SEQPACKET, `uid ${uid}`);
      pump.start(stream);
      return pump;
    }
    const items = [key, SocketType.DGRAM, uid, gid, groups, pid];
    return this.#take(session, stream, items, pathOfName(name));
  }

  /** An end to what is sent from the socket at `from`, if that is one of the session's; or -errno. */
  #answering(session: BridgeSession, key: unknown, from: string): number {
    const twin = session.find(key, What.NODE);
    const target = from === "" || twin === undefined ? -E.ENOENT : dup(twin.fd);
    if (target < 0) return target;
    const to = `/proc/self/fd/${target}`;
    const end = this.#places.answering(session.owner, from, to, () => close(target));
    if (end < 0) close(target);
    return end;
  }

  #begin(stream: Stream, to: Target): StreamHandler | number {
    // Who came first has the first place.
    const fd = this.#waiting.has(to.key) ? -E.EAGAIN : this.#connect(to);
    if (fd >= 0) {
      const pump = joined(to, fd);
      pump.start(stream);
      return pump;
    }
    if (fd !== -E.EAGAIN) return -fd;
    const waiting: Waiting = {
      ...to,
      stream,
      holding: new Holding(() => {
        waiting.ended = true;
      }),
      sinceMs: this.#loop.nowMs,
      ended: false,
    };
    const list = this.#waiting.get(to.key);
    if (list === undefined) this.#waiting.set(to.key, [waiting]);
    else list.push(waiting);
    this.#cancelRetry?.();
    this.#delayMs = RETRY_MIN_MS;
    this.#schedule();
    return waiting.holding;
  }

  /** A socket that is connected, or -errno. */
  #connect({ session, key, type, caller, name }: Target): number {
    const twin = targetOf(session, key);
    if (twin === undefined) return -E.ESTALE;
    const fd = unixSocket(type);
    if (fd < 0) return fd;
    const isNamed = name !== "" && this.#names.bind(fd, name) === 0;
    const result = asCaller(caller, () => {
      // Datagrams are answered by name.
      const named = type === SocketType.DGRAM && !isNamed ? autobind(fd) : 0;
      if (named < 0) return named;
      return twin.what === What.NAME ? connectAbstract(fd, twin.name) : connectTo(fd, twin.fd);
    });
    if (result < 0) close(fd);
    return result < 0 ? result : fd;
  }

  #schedule(): void {
    this.#cancelRetry = this.#loop.after(this.#delayMs, () => this.#retry());
  }

  #retry(): void {
    this.#cancelRetry = undefined;
    let any = false;
    for (const [key, list] of this.#waiting) {
      const left = this.#advance(list);
      if (left.length < list.length) any = true;
      if (left.length === 0) this.#waiting.delete(key);
      else this.#waiting.set(key, left);
    }
    this.#delayMs = any ? RETRY_MIN_MS : Math.min(2 * this.#delayMs, RETRY_MAX_MS);
    if (this.#waiting.size > 0) this.#schedule();
  }

  /** Connects those that find room, in order; who still waits. */
  #advance(list: readonly Waiting[]): Waiting[] {
    for (const [i, waiting] of list.entries()) {
      if (waiting.ended) continue;
      const fd = this.#connect(waiting);
      if (fd >= 0) waiting.holding.handOver(waiting.stream, joined(waiting, fd));
      else if (fd !== -E.EAGAIN || this.#isLate(waiting)) waiting.stream.reset(-fd);
      else return list.slice(i).filter(({ ended }) => !ended);
    }
    return [];
  }

  #isLate({ sinceMs }: Waiting): boolean {
    return this.#loop.nowMs - sinceMs > CONNECT_MS;
  }
}

/** What `key` may be connected to by: a socket's file, or an abstract name. */
function targetOf(session: BridgeSession, key: unknown): Twin | undefined {
  return session.find(key, What.NODE) ?? session.find(key, What.NAME);
}

/** What joins `fd` to the stream. */
function joined({ session, type, caller }: Target, fd: number): Pump {
  return session.pumpFor(fd, type, `a socket of the HOST's for uid ${caller.uid}`);
}
