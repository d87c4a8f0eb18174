/**
 * Abstract names of unix sockets (unix(7)), which no file stands for: a supervisor tells of programs
 * that connect to one or have bound one. In place of who has it on the HOST a socket here gets
 * the same name, and the program's own call finds that; what is bound here the server binds there.
 */
import { EPOLLIN } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { pidfdOpen } from "../../sys/process.ts";
import { Op } from "../../wire/ops.ts";
import { type BoundName, type FromTwins, type Node, nameKey, type ToTwins } from "./channel.ts";
import { Incoming } from "./incoming.ts";
import { Listeners } from "./listeners.ts";
import { NameGround, shown } from "./nameground.ts";
import type { Pump } from "./pumps.ts";
import type { MeetingReport } from "./report.ts";
import type { TwinSide } from "./side.ts";

/** Upper half of the numbers that names have in place of nodes: no server gives it (nodes.ts). */
const NAME_HIGH = 0xffff_fffc;
/** Names that are known at once. */
const NAMES_MAX = 8192;
/** In place of a superblock's. */
const NO_CHANNEL = 0;

type Asked = Extract<ToTwins, { kind: "name" }>;
type AskedBind = Extract<Asked, { act: "bind" }>;
type Done = (errno: number) => void;

interface Name {
  readonly text: string;
  /** SOCK_*: each has names of its own. */
  readonly type: number;
  readonly node: Node;
  /** Who waits until it is served, or is no more. */
  waiting: Done[];
  /** As it was bound here, if it was. */
  bound: BoundName | undefined;
  /** Of the process that has bound it, until that has ended; or -1. */
  pidfd: number;
}

export class AbstractNames {
  readonly #side: TwinSide;
  readonly #byKey = new Map<string, Name>();
  readonly #byLow = new Map<number, Name>();
  readonly #listeners: Listeners;
  readonly #incoming: Incoming;
  #nextLow = 1;

  constructor(side: TwinSide) {
    this.#side = side;
    const ground = new NameGround(side, (message) => this.#told(message));
    this.#listeners = new Listeners(side, ground);
    this.#incoming = new Incoming(side, ground);
  }

  /** A program is about to connect, or has bound. */
  take(asked: Asked): void {
    const done = (errno: number) => this.#side.tell({ kind: "named", id: asked.id, errno });
    const name = this.#nameOf(asked);
    if (name === undefined) done(E.ENFILE);
    else if (asked.act === "bind") this.#bind(name, asked, done);
    // One of this machine's: its kernel does all of it.
    else if (this.#incoming.has(name.node)) done(0);
    else this.#look(name, done);
  }

  /** Says all that is bound here. */
  list(): void {
    for (const { bound } of this.#byKey.values()) {
      if (bound !== undefined) this.#side.tell({ kind: "ownsName", bound });
    }
  }

  /** The HOST's keys are gone, and may be had anew. */
  keysLost(): void {
    this.#listeners.keysLost();
    this.#incoming.keysLost();
  }

  /** Lets go of everything: the session is another. */
  leave(): void {
    this.#listeners.leave();
    this.#incoming.leave();
    for (const name of [...this.#byKey.values()]) this.#drop(name, E.ECONNRESET);
  }

  report(): MeetingReport[] {
    return [...this.#listeners.report(), ...this.#incoming.report()];
  }

  /** Every stream, with what it leads to. */
  streams(): [pump: Pump, path: string][] {
    return [...this.#listeners.streams(), ...this.#incoming.streams()];
  }

  #nameOf(asked: Asked): Name | undefined {
    const known = this.#byKey.get(nameKey(asked));
    if (known !== undefined || this.#byKey.size >= NAMES_MAX) return known;
    const { name: text, type } = asked;
    const node: Node = [NAME_HIGH, this.#nextLow++];
    const name: Name = { text, type, node, waiting: [], bound: undefined, pidfd: -1 };
    this.#byKey.set(nameKey(asked), name);
    this.#byLow.set(node[1], name);
    return name;
  }

  /** Nothing is to be known of a name any more; who waits for it gets `errno`. */
  #drop(name: Name, errno: number): void {
    const { bound, node, text, type } = name;
    this.#byKey.delete(nameKey({ name: text, type }));
    this.#byLow.delete(node[1]);
    this.#unwatch(name);
    if (bound !== undefined) this.#side.tell({ kind: "nameless", name: text, type });
    for (const done of name.waiting.splice(0)) done(errno);
  }

  /** Has it served for as long as somebody on the HOST has it. */
  #look(name: Name, done: Done): void {
    const { node, text, type, waiting } = name;
    waiting.push(done);
    this.#side.ask(Op.NAME_LOOK, [text, type], (errno, [isTaken = 0]) => {
      if (errno === 0 && isTaken !== 0) {
        const place = { channel: NO_CHANNEL, node, parent: node, name: shown(text) };
        this.#listeners.serve({ kind: "serve", type, uid: 0, gid: 0, ...place });
        return;
      }
      if (errno !== 0) this.#drop(name, errno);
      this.#listeners.unserve(node);
    });
  }

  #bind(name: Name, asked: AskedBind, done: Done): void {
    const { bound } = name;
    const { key, pid } = asked;
    if (bound !== undefined) {
      // Who had it before has it no more, and the HOST's socket is as good for who has it now.
      this.#nowBound(name, { ...bound, pid });
      this.#watch(name, pid);
      done(0);
    } else if (key === 0) this.#bindThere(name, pid, done);
    else this.#side.ask(Op.TWIN_CLOSE, [key], () => this.#bindThere(name, pid, done));
  }

  #bindThere(name: Name, pid: number, done: Done): void {
    const { node, text, type } = name;
    this.#side.ask(Op.NAME_BIND, [text, type], (errno, [key = 0]) => {
      if (errno !== 0) this.#drop(name, errno);
      else {
        const own = { channel: NO_CHANNEL, node, type, key, name: shown(text) };
        this.#incoming.own({ kind: "own", ...own });
        this.#nowBound(name, { name: text, type, pid, key });
        this.#watch(name, pid);
      }
      done(errno);
    });
  }

  #nowBound(name: Name, bound: BoundName): void {
    name.bound = bound;
    this.#side.tell({ kind: "ownsName", bound });
  }

  /** When the process ends that has bound a name, it is looked whether others have the socket. */
  #watch(name: Name, pid: number): void {
    this.#unwatch(name);
    const fd = pidfdOpen(pid);
    if (fd < 0) {
      this.#incoming.check(name.node);
      return;
    }
    name.pidfd = fd;
    this.#side.loop.add(fd, EPOLLIN, {
      onEvents: () => {
        this.#unwatch(name);
        this.#incoming.check(name.node);
      },
    });
  }

  #unwatch(name: Name): void {
    if (name.pidfd < 0) return;
    this.#side.loop.remove(name.pidfd);
    close(name.pidfd);
    name.pidfd = -1;
  }

  /** What would be said of a file to the mount's thread. */
  #told(message: FromTwins): void {
    if (!("node" in message)) return;
    const name = this.#byLow.get(message.node[1]);
    if (name === undefined) return;
    if (message.kind === "owned" && name.bound !== undefined) {
      this.#nowBound(name, { ...name.bound, key: message.key });
    } else if (message.kind === "unserved") this.#drop(name, E.ECONNREFUSED);
    else if (message.kind === "disowned") this.#drop(name, 0);
    else if (message.kind === "served" && message.errno !== 0) this.#drop(name, message.errno);
    else if (message.kind === "served") for (const done of name.waiting.splice(0)) done(0);
  }
}
