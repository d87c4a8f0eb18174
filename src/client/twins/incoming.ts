/**
 * Sockets that processes here have bound, at which the server listens on the HOST: who
 * connects there is a stream from the server, and is connected here as the same caller.
 */
import { isSocketPath, pathOfName } from "../../bridge/names.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { SOCK_SEQPACKET } from "../../sys/socket.ts";
import { Op } from "../../wire/ops.ts";
import { keyOf, type Node } from "./channel.ts";
import type { Ground, Owned } from "./ground.ts";
import { HeldStream } from "./held.ts";
import type { Pump } from "./pumps.ts";
import { type MeetingReport, typeName } from "./report.ts";
import type { TwinSide } from "./side.ts";

/** How long a connection waits for a socket to be told of that was bound a moment ago. */
const UNKNOWN_MS = 5000;
/** Keys of sockets that are gone which are remembered. */
const ENDED_MAX = 1024;
/** Such connections at once. */
const UNKNOWN_MAX = 1024;
/** Within this time of its bind(2) a socket that does not listen yet is tried again. */
const YOUNG_MS = 2000;
/** How long a connection waits where the queue here is full, as it would on one machine. */
const FULL_MS = 30_000;
/** Between two tries: doubled each time. */
const RETRY_MIN_MS = 1;
const RETRY_MAX_MS = 64;

/** The mount is the only one that has places here (names.ts). */
export const OWNER = 0;

interface Own {
  readonly owned: Owned;
  key: number;
  readonly sinceMs: number;
  connections: number;
  isGone: boolean;
}

/** Somebody on the HOST who wants to be connected. */
interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Of a sender of datagrams: its path on the HOST, or "", and that of whom it sends to. */
  readonly name: string;
  readonly to: string;
  readonly held: HeldStream;
  readonly stream: Stream;
  readonly sinceMs: number;
}

export class Incoming {
  readonly #side: TwinSide;
  readonly #ground: Ground;
  readonly #byNode = new Map<string, Own>();
  readonly #byKey = new Map<number, Own>();
  readonly #unknown = new Map<number, Caller[]>();
  #unknownCount = 0;
  /** Keys of sockets that are gone: the server has not heard of it yet. */
  readonly #ended = new Set<number>();
  /** Who waits until the server has closed the listener of such a key. */
  readonly #closing = new Map<number, (() => void)[]>();
  readonly #pumps = new Map<Pump, Own>();

  constructor(side: TwinSide, ground: Ground) {
    this.#side = side;
    this.#ground = ground;
    side.end.handle(ground.incoming, (stream, items) => this.#take(stream, items));
  }

  /** A process here has bound a socket. */
  own(owned: Owned): void {
    const before = this.#byNode.get(keyOf(owned.node));
    if (before !== undefined) this.#remove(before);
    const sinceMs = this.#side.loop.nowMs;
    const own = { owned, key: owned.key, sinceMs, connections: 0, isGone: false };
    this.#byNode.set(keyOf(owned.node), own);
    if (owned.key === 0) this.#rebind(own);
    else this.#setKey(own, owned.key);
  }

  has(node: Node): boolean {
    return this.#byNode.has(keyOf(node));
  }

  /** Says whether a socket is still there, if it is not. */
  check(node: Node): void {
    const own = this.#byNode.get(keyOf(node));
    if (own === undefined) return;
    this.#ground.look(own.owned, (result) => {
      if (result === -E.ESTALE) this.#gone(own);
    });
  }

  /** Nobody has the socket any more; `then` once nobody listens on the HOST, either. */
  #gone(own: Own, then = () => {}): void {
    if (own.isGone) {
      this.#afterClosing(own.key, then);
      return;
    }
    this.#remove(own);
    const { node } = own.owned;
    const waiting = [then];
    this.#closing.set(own.key, waiting);
    // Not before the server knows: until then its lookups find somebody listening.
    const tell = () => {
      this.#closing.delete(own.key);
      this.#ground.tell({ kind: "disowned", node });
      for (const fn of waiting) fn();
    };
    if (own.key === 0) tell();
    else this.#side.ask(Op.TWIN_CLOSE, [own.key], tell);
  }

  /** Calls `fn` once the HOST's listener of a socket that is gone is closed, too. */
  #afterClosing(key: number, fn: () => void): void {
    const waiting = this.#closing.get(key);
    if (waiting === undefined) fn();
    else waiting.push(fn);
  }

  list(): void {
    for (const own of this.#byNode.values()) this.#tell(own);
  }

  /** The server is another process: it is to listen again. */
  keysLost(): void {
    for (const own of this.#byNode.values()) {
      this.#byKey.delete(own.key);
      own.key = 0;
      this.#rebind(own);
    }
  }

  /** Has the server listen again where nobody does any more. */
  #rebind(own: Own): void {
    const [op, args] = this.#ground.rebind(own.owned);
    this.#side.ask(op, args, (errno, [key = 0]) => {
      if (errno !== 0) {
        this.#side.log("warn", `The HOST does not listen for a socket any more: errno ${errno}`);
      } else if (own.isGone) this.#side.ask(Op.TWIN_CLOSE, [key], () => {});
      else {
        this.#setKey(own, key);
        this.#tell(own);
      }
    });
  }

  /** Lets go of everything in a superblock, or in all of them. */
  leave(channel?: number): void {
    const isOf = ({ owned }: Own) => channel === undefined || owned.channel === channel;
    for (const [pump, own] of this.#pumps) if (isOf(own)) pump.close(E.ECONNRESET);
    for (const own of [...this.#byNode.values()].filter(isOf)) this.#remove(own);
  }

  report(): MeetingReport[] {
    return [...this.#byNode.values()].map(({ owned, connections }) => {
      return { kind: "bound", path: owned.name, type: typeName(owned.type), connections };
    });
  }

  /** Every stream, with what it leads to. */
  streams(): [pump: Pump, path: string][] {
    return [...this.#pumps].map(([pump, { owned }]) => [pump, owned.name]);
  }

  #tell({ owned, key }: Own): void {
    const { node, channel, type } = owned;
    this.#ground.tell({ kind: "owned", node, channel, type, key });
  }

  #setKey(own: Own, key: number): void {
    own.key = key;
    if (key === 0) return;
    this.#byKey.set(key, own);
    const waiting = this.#unknown.get(key) ?? [];
    this.#unknown.delete(key);
    this.#unknownCount -= waiting.length;
    for (const caller of waiting) this.#connect(own, caller);
  }

  #remove(own: Own): void {
    own.isGone = true;
    if (this.#ended.size >= ENDED_MAX) this.#ended.delete(this.#ended.keys().next().value ?? 0);
    this.#ended.add(own.key);
    this.#byNode.delete(keyOf(own.owned.node));
    this.#byKey.delete(own.key);
  }

  #take(stream: Stream, items: readonly unknown[]): StreamHandler | number {
    const [key, type, uid, gid, pid, from, target] = items;
    const numbers = [key, type, uid, gid, pid];
    if (!numbers.every((one) => Number.isSafeInteger(one))) return E.EPROTO;
    const held = new HeldStream(stream);
    const sinceMs = this.#side.loop.nowMs;
    const [name = "", to = ""] = [from, target].map((path) => {
      return path instanceof Uint8Array ? pathOfName(path) : "";
    });
    const words = { uid: uid as number, gid: gid as number, pid: pid as number, name, to };
    const caller = { ...words, held, stream, sinceMs };
    const own = this.#byKey.get(key as number);
    if (own !== undefined) this.#connect(own, caller);
    else if (this.#ended.has(key as number)) this.#refuseSoon(key as number, held);
    else if (this.#unknownCount >= UNKNOWN_MAX) return E.ECONNREFUSED;
    else this.#await(key as number, caller);
    return held.handler;
  }

  /** Who has been refused once is to be refused by the HOST's kernel from then on. */
  #refuseSoon(key: number, held: HeldStream): void {
    this.#afterClosing(key, () => {
      if (!held.isOver) held.refuse(E.ECONNREFUSED);
    });
  }

  /** The socket was bound a moment ago, and its key is on its way to us. */
  #await(key: number, caller: Caller): void {
    const waiting = this.#unknown.get(key) ?? [];
    this.#unknown.set(key, [...waiting, caller]);
    this.#unknownCount++;
    this.#side.loop.after(UNKNOWN_MS, () => {
      const left = this.#unknown.get(key);
      if (left === undefined || !left.includes(caller)) return;
      this.#unknownCount--;
      if (left.length === 1) this.#unknown.delete(key);
      else
        this.#unknown.set(
          key,
          left.filter((one) => one !== caller),
        );
      caller.held.refuse(E.ECONNREFUSED);
    });
  }

  #connect(own: Own, caller: Caller, retryMs = RETRY_MIN_MS): void {
    const { uid, gid } = caller;
    const answering = this.#answering(caller);
    if (answering >= 0) {
      this.#connected(own, caller, answering, SOCK_SEQPACKET);
      return;
    }
    const name = this.#side.pathHere(caller.name);
    this.#ground.connect(own.owned, { uid, gid, name }, (result) => {
      if (caller.held.isOver) {
        if (result >= 0) close(result);
        return;
      }
      if (result >= 0) this.#connected(own, caller, result);
      else if (result === -E.ECONNREFUSED)
        this.#probe(own, () => this.#failed(own, caller, result, retryMs));
      else this.#failed(own, caller, result, retryMs);
    });
  }

  /** Nobody listens: the socket may be there yet. */
  #probe(own: Own, then: () => void): void {
    this.#ground.probe(own.owned, (result) => {
      if (result > 0) close(result);
      if (result === -E.ECONNREFUSED) this.#gone(own, then);
      else then();
    });
  }

  #failed(own: Own, caller: Caller, result: number, retryMs: number): void {
    if (caller.held.isOver) return;
    if (own.isGone || !this.#mayRetry(own, caller, result)) caller.held.refuse(-result);
    else
      this.#side.loop.after(retryMs, () => {
        this.#connect(own, caller, Math.min(2 * retryMs, RETRY_MAX_MS));
      });
  }

  /** Whether it may be otherwise in a moment: it does not listen yet, or its queue is full. */
  #mayRetry(own: Own, caller: Caller, result: number): boolean {
    const { nowMs } = this.#side.loop;
    if (result === -E.EAGAIN) return nowMs - caller.sinceMs < FULL_MS;
    return result === -E.ECONNREFUSED && nowMs - own.sinceMs < YOUNG_MS;
  }

  /** An end to what is sent from the twin of the sender, where that is served here; or -errno. */
  #answering({ name, to }: Caller): number {
    const path = this.#side.pathHere(to);
    if (name === "" || !isSocketPath(path)) return -E.ENOENT;
    return this.#side.places.answering(OWNER, name, path);
  }

  #connected(own: Own, caller: Caller, fd: number, type = own.owned.type): void {
    const { held, pid, stream, uid } = caller;
    const pump = this.#side.pumps.make({
      ...{ fd, type, peer: `pid ${pid} of the HOST, uid ${uid}` },
      ended: () => this.#pumps.delete(pump),
    });
    own.connections++;
    this.#pumps.set(pump, own);
    pump.start(stream);
    held.giveTo(pump);
  }
}
