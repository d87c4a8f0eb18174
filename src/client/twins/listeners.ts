/**
 * Sockets that listen here in place of those that listen on the HOST. Each connection that
 * is accepted is a stream to the server, which connects there as the same caller.
 */
import { DatagramFan } from "../../bridge/datagrams.ts";
import { pathOfName } from "../../bridge/names.ts";
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { accept, SOCK_DGRAM, SOCK_SEQPACKET } from "../../sys/socket.ts";
import { type PeerCredentials, peerCredentials, peerGroups } from "../../sys/sockopt.ts";
import { Op } from "../../wire/ops.ts";
import { StreamKind } from "../../wire/streams.ts";
import { keyOf, type Node } from "./channel.ts";
import type { Ground, Wanted } from "./ground.ts";
import { OWNER } from "./incoming.ts";
import type { Pump } from "./pumps.ts";
import { type MeetingReport, typeName } from "./report.ts";
import type { TwinSide } from "./side.ts";

/** Connections accepted before others have their turn. */
const ACCEPT_MAX = 64;
/** Sockets that are served at once: of more the one that was used least lately makes room. */
const LISTENERS_MAX = 8192;
/** How long accepting pauses where there are no descriptors left. */
const PAUSE_MS = 50;

interface Listener {
  readonly wanted: Wanted;
  /** The socket, or -1 until it is bound. */
  fd: number;
  /** The HOST's key of the node; 0 while there is none. */
  key: number;
  path: string;
  connections: number;
  /** Of a socket for datagrams: its senders. */
  fan: DatagramFan | undefined;
  /** A connection that was accepted, and not opened a stream for yet. */
  waiting: number;
  isClosed: boolean;
}

const NONE = -1;

export class Listeners {
  readonly #side: TwinSide;
  readonly #ground: Ground;
  readonly #byNode = new Map<string, Listener>();
  readonly #pumps = new Map<Pump, Listener>();

  constructor(side: TwinSide, ground: Ground) {
    this.#side = side;
    this.#ground = ground;
  }

  /** Listens in place of a socket of the HOST's. */
  serve(wanted: Wanted): void {
    const { node, channel, type } = wanted;
    const known = this.#byNode.get(keyOf(node));
    if (known?.wanted.type === type) {
      if (known.fd >= 0) this.#ground.tell({ kind: "served", node, channel, type, errno: 0 });
      return;
    }
    if (known !== undefined) this.#close(known);
    if (this.#byNode.size >= LISTENERS_MAX) this.#evict();
    const listener = {
      ...{ wanted, fd: NONE, key: 0, path: "", connections: 0 },
      ...{ fan: undefined, waiting: NONE, isClosed: false },
    };
    this.#byNode.set(keyOf(node), listener);
    this.#open(listener);
    this.#ground.bind(wanted, (fd, path) => this.#bound(listener, fd, path));
  }

  /** Listens there no more: nobody does on the HOST. */
  unserve(node: Node): void {
    const listener = this.#byNode.get(keyOf(node));
    if (listener !== undefined) this.#close(listener);
    this.#ground.tell({ kind: "unserved", node });
  }

  /** Says all that is served. */
  list(): void {
    for (const { wanted, fd } of this.#byNode.values()) {
      const { node, channel, type } = wanted;
      if (fd >= 0) this.#ground.tell({ kind: "served", node, channel, type, errno: 0 });
    }
  }

  /** The HOST's keys are gone, and may be had anew. */
  keysLost(): void {
    for (const listener of this.#byNode.values()) {
      listener.key = 0;
      this.#accept(listener);
      this.#open(listener);
    }
  }

  /** Lets go of everything in a superblock, or in all of them. */
  leave(channel?: number): void {
    const isOf = ({ wanted }: Listener) => channel === undefined || wanted.channel === channel;
    for (const [pump, listener] of this.#pumps) if (isOf(listener)) pump.close(E.ECONNRESET);
    for (const listener of [...this.#byNode.values()].filter(isOf)) {
      this.#close(listener);
      this.#ground.tell({ kind: "unserved", node: listener.wanted.node });
    }
  }

  report(): MeetingReport[] {
    return [...this.#byNode.values()].map(({ path, wanted, connections }) => {
      return { kind: "socket", path, type: typeName(wanted.type), connections };
    });
  }

  /** Every stream, with what it leads to. */
  streams(): [pump: Pump, path: string][] {
    return [...this.#pumps].map(([pump, { path }]) => [pump, path]);
  }

  #open(listener: Listener): void {
    const [op, args] = this.#ground.open(listener.wanted);
    this.#side.ask(op, args, (errno, [key = 0]) => {
      if (listener.isClosed) {
        if (errno === 0) this.#side.ask(Op.TWIN_CLOSE, [key], () => {});
        return;
      }
      if (errno !== 0) {
        this.#fail(listener, errno);
        return;
      }
      listener.key = key;
      this.#ready(listener);
      this.#accept(listener);
    });
  }

  #bound(listener: Listener, fd: number, path: string): void {
    if (listener.isClosed) {
      if (fd >= 0) close(fd);
      return;
    }
    if (fd < 0) {
      this.#fail(listener, -fd);
      return;
    }
    listener.fd = fd;
    listener.path = path;
    if (listener.wanted.type === SOCK_DGRAM) listener.fan = this.#fanOf(listener);
    else this.#side.loop.add(fd, EPOLLIN, { onEvents: () => this.#accept(listener) });
    this.#accept(listener);
    this.#ready(listener);
  }

  /** Says that it listens, once there is all that is needed. */
  #ready({ wanted, fd, key }: Listener): void {
    if (fd < 0 || key === 0) return;
    const { node, channel, type } = wanted;
    this.#ground.tell({ kind: "served", node, channel, type, errno: 0 });
  }

  #fail(listener: Listener, errno: number): void {
    const { node, channel, type, name } = listener.wanted;
    this.#close(listener);
    this.#ground.tell({ kind: "served", node, channel, type, errno });
    this.#side.log("warn", `Cannot serve the socket ${name}: errno ${errno}`);
  }

  #close(listener: Listener): void {
    listener.isClosed = true;
    this.#byNode.delete(keyOf(listener.wanted.node));
    if (listener.fan !== undefined) {
      this.#side.places.remove(OWNER, listener.path, listener.fan);
      listener.fan.close();
    }
    if (listener.fd >= 0) {
      this.#side.loop.remove(listener.fd);
      close(listener.fd);
    }
    if (listener.waiting >= 0) close(listener.waiting);
    if (listener.key !== 0) this.#side.ask(Op.TWIN_CLOSE, [listener.key], () => {});
  }

  /** Takes connections, and opens a stream for each. */
  #accept(listener: Listener): void {
    if (listener.isClosed || listener.fd < 0) return;
    if (listener.fan !== undefined) {
      listener.fan.serve(listener.key !== 0);
      return;
    }
    if (listener.key === 0) {
      this.#side.loop.modify(listener.fd, 0);
      return;
    }
    for (let i = 0; i < ACCEPT_MAX; i++) {
      const fd = listener.waiting >= 0 ? listener.waiting : accept(listener.fd);
      listener.waiting = NONE;
      if (fd < 0) {
        if (fd === -E.EMFILE || fd === -E.ENFILE) this.#pause(listener);
        else this.#side.loop.modify(listener.fd, EPOLLIN);
        return;
      }
      if (!this.#connect(listener, fd)) {
        listener.waiting = fd;
        this.#side.loop.modify(listener.fd, 0);
        this.#side.end.whenRoom(() => this.#accept(listener));
        return;
      }
    }
    this.#side.loop.modify(listener.fd, EPOLLIN);
  }

  /** It is the last that was used. */
  #used(listener: Listener): void {
    const key = keyOf(listener.wanted.node);
    this.#byNode.delete(key);
    this.#byNode.set(key, listener);
  }

  /** Gives up the one that has had no connection for the longest time, if it has none now. */
  #evict(): void {
    const busy = new Set(this.#pumps.values());
    for (const listener of this.#byNode.values()) {
      if (busy.has(listener)) continue;
      this.#close(listener);
      this.#ground.tell({ kind: "unserved", node: listener.wanted.node });
      return;
    }
  }

  #pause(listener: Listener): void {
    this.#side.loop.modify(listener.fd, 0);
    this.#side.loop.after(PAUSE_MS, () => this.#accept(listener));
  }

  /** Opens a stream for a connection; false if that has to wait. */
  #connect(listener: Listener, fd: number): boolean {
    const peer = peerCredentials(fd);
    if (typeof peer === "number") {
      close(fd);
      return true;
    }
    const { pid, uid, gid } = peer;
    const { type } = listener.wanted;
    const description = [listener.key, type, uid, gid, peerGroups(fd), pid];
    return this.#join(listener, StreamKind.CONNECT, description, { fd, type, peer });
  }

  #join(
    listener: Listener,
    kind: number,
    description: readonly unknown[],
    { fd, type, peer }: { fd: number; type: number; peer: PeerCredentials },
  ): boolean {
    const pump = this.#side.pumps.make({
      ...{ fd, type, peer: `pid ${peer.pid}, uid ${peer.uid}` },
      ended: () => this.#pumps.delete(pump),
    });
    const stream = this.#side.end.open(kind, description, pump);
    if (stream === undefined) return false;
    listener.connections++;
    this.#used(listener);
    this.#pumps.set(pump, listener);
    pump.start(stream);
    return true;
  }

  /** The senders of datagrams to a socket: each has a stream of its own. */
  #fanOf(listener: Listener): DatagramFan {
    const fan = new DatagramFan({
      loop: this.#side.loop,
      fd: listener.fd,
      join: ({ credentials: peer, name }, fd) => {
        if (listener.key === 0) return false;
        const path = Buffer.from(this.#side.pathThere(pathOfName(name)), "latin1");
        const description = [listener.key, peer.uid, peer.gid, [], peer.pid, path];
        const words = { fd, type: SOCK_SEQPACKET, peer };
        return this.#join(listener, StreamKind.DATAGRAMS, description, words);
      },
      log: (text) => this.#side.log("warn", text),
    });
    this.#side.places.add(OWNER, listener.path, fan);
    return fan;
  }
}
