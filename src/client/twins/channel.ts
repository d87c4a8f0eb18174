/**
 * Between the mount's thread (reactor) and its twin process: a pair of SOCK_SEQPACKET
 * sockets, one JSON object a message. The reactor's end outlives the mount's process
 * (keeper.ts); the twin process ends when nobody holds that end any more.
 *
 * The other end is this very program: what it says is not checked as a peer's would be.
 */
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { recv, SOCK_SEQPACKET, send, setBuffers, socketPair } from "../../sys/socket.ts";
import type { Address } from "../../transport/address.ts";
import type { Facts } from "../../wire/hello.ts";
import type { FifoFromTwins, FifoToTwins } from "./fifomessages.ts";

/** Number of a node, in halves. */
export type Node = readonly [high: number, low: number];

/** Key of a node in tables. */
export function keyOf([high, low]: Node): string {
  return `${high}:${low}`;
}

/** What the mount is, told at first and whenever any of it changes. */
export interface MountNews {
  kind: "mount";
  /** Where it is mounted here, and the HOST's path of its root. */
  target: string;
  source: string;
  servers: readonly Address[];
  facts: Facts;
  /** Id of the mount's session: a secret. */
  session: string;
  /** Number of the session: nodes and keys of another mean nothing. */
  epoch: number;
  /** Process of the server that has the session: keys of another are gone. */
  lives: number;
}

/** Key of an abstract name in tables: each type of socket has names of its own. */
export function nameKey({ name, type }: { name: string; type: number }): string {
  return `${type} ${name}`;
}

/** A socket that process `pid` here has bound to an abstract name; `key`: of the HOST's listener. */
export interface BoundName {
  readonly name: string;
  readonly type: number;
  readonly pid: number;
  readonly key: number;
}

/** From the reactor to the twin process. */
export type ToTwins =
  | MountNews
  /** A process that has taken over asks for all that is served: answered by "served" and "owned". */
  | { kind: "list" }
  /**
   * Somebody on the HOST listens at a socket (SOCK_* `type`) that is to be reached here:
   * answered by "served". `parent` and `name` say where, `uid` and `gid` whose it is.
   */
  | {
      kind: "serve";
      channel: number;
      node: Node;
      parent: Node;
      name: string;
      type: number;
      uid: number;
      gid: number;
    }
  /** Nobody listens there any more: answered by "unserved". */
  | { kind: "unserve"; node: Node }
  /** A process here has bound a socket, by that name; `key`: of the HOST's listener, 0: there is none any more. */
  | { kind: "own"; channel: number; node: Node; type: number; key: number; name: string }
  /** The kernel has forgotten lookups of such a node: answered by "disowned" if it is gone altogether. */
  | { kind: "check"; node: Node }
  /**
   * A program here is about to connect to an abstract name, or has bound a socket to it (process
   * `pid`) that is to be reached on the HOST: answered by "named" with the same id. `key`: what
   * another twin process has had for it, or 0.
   */
  | { kind: "name"; id: number; act: "connect"; name: string; type: number }
  | { kind: "name"; id: number; act: "bind"; name: string; type: number; pid: number; key: number }
  /** The answer to "ask". */
  | { kind: "reply"; id: number; errno: number; results: number[] }
  | FifoToTwins;

/** From the twin process to the reactor. */
export type FromTwins =
  /** The first message: threads whose requests on the mount are the twin process's own. */
  | { kind: "hello"; pid: number; tids: number[] }
  /** The node is served here (errno 0), or cannot be. */
  | { kind: "served"; node: Node; channel: number; type: number; errno: number }
  /** It is served no more: asked for, or of the twin process's own accord. */
  | { kind: "unserved"; node: Node }
  /** A process here has it bound: in answer to "list", and when its key is another. */
  | { kind: "owned"; node: Node; channel: number; type: number; key: number }
  /** No process here has the socket any more. */
  | { kind: "disowned"; node: Node }
  /** What came of "name": 0 or an errno. */
  | { kind: "named"; id: number; errno: number }
  /** A program here has a name, by that key, or has it no more: another twin process is to be told. */
  | { kind: "ownsName"; bound: BoundName }
  | { kind: "nameless"; name: string; type: number }
  /** Asks the server `op` (wire/ops.ts), as a request of the mount's session: answered by "reply". */
  | { kind: "ask"; id: number; op: number; args: (number | Node | string)[] }
  /** The hidden directory cannot be entered: who waits for the twin process is in its way. */
  | { kind: "stuck" }
  | { kind: "log"; level: "info" | "warn" | "error"; text: string }
  | FifoFromTwins;

/** Bytes of a message. */
const MESSAGE_BYTES = 64 * 1024;
/** Of the kernel's queue: hundreds of messages. */
const SOCKET_BYTES = 1024 * 1024;
/** Messages that wait here for room in the kernel's queue; an end that takes none is given up. */
const QUEUE_MAX = 65_536;

const room = allocate(MESSAGE_BYTES);

/** Both ends, not blocking, closed on exec; throws a sentence where there are none to be had. */
export function twinChannel(): [reactor: number, twins: number] {
  const ends = socketPair(SOCK_SEQPACKET);
  if (typeof ends === "number") throw new Error(`Cannot make a socket: errno ${-ends}`);
  for (const end of ends) setBuffers(end, SOCKET_BYTES);
  return ends;
}

/** One end: sends `Out`, receives `In`. */
export class Channel<In, Out> {
  readonly fd: number;
  #isClosed = false;
  #waiting: string[] = [];
  /** The first of them that is not sent yet. */
  #next = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Whether the other end is gone: nothing more comes, what is sent goes nowhere. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether messages wait for room: `flush` when the descriptor is writable. */
  get waits(): boolean {
    return this.#next < this.#waiting.length;
  }

  send(message: Out): void {
    const text = JSON.stringify(message);
    if (this.#isClosed) return;
    if (!this.waits && this.#push(text)) return;
    if (this.#waiting.length - this.#next >= QUEUE_MAX) this.close();
    else this.#waiting.push(text);
  }

  /** Sends what waits, as far as there is room. */
  flush(): void {
    while (this.waits && this.#push(this.#waiting[this.#next] as string)) this.#next++;
    if (this.#next < this.#waiting.length / 2) return;
    this.#waiting = this.#waiting.slice(this.#next);
    this.#next = 0;
  }

  /** The next message; undefined when there is none now, or no more (`isClosed`). */
  receive(): In | undefined {
    if (this.#isClosed) return undefined;
    const got = recv(this.fd, room.address, room.size);
    if (got > 0) return JSON.parse(room.bytes.toString("utf8", 0, got)) as In;
    if (got !== -E.EAGAIN && got !== -E.EINTR) this.close();
    return undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#next = 0;
    close(this.fd);
  }

  /** Sends one message; false when there is no room. */
  #push(text: string): boolean {
    if (this.#isClosed) return true;
    const length = room.bytes.utf8Write(text, 0);
    if (length < Buffer.byteLength(text))
      throw new RangeError("A message to the twins is too long");
    const sent = send(this.fd, room.address, length, 0);
    if (sent === -E.EAGAIN || sent === -E.ENOBUFS) return false;
    if (sent < 0) this.close();
    return true;
  }
}

/** The reactor's end, and the twin process's. */
export type ReactorEnd = Channel<FromTwins, ToTwins>;
export type TwinsEnd = Channel<ToTwins, FromTwins>;
