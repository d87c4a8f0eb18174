/** Where sockets are that are served here: files of the mount (this file), or abstract names (abstract.ts). */
import { SOCK_DGRAM, SOCK_STREAM } from "../../sys/socket.ts";
import { Op } from "../../wire/ops.ts";
import { StreamKind } from "../../wire/streams.ts";
import type { FromTwins, Node, ToTwins } from "./channel.ts";
import type { Argument, TwinSide } from "./side.ts";

/** A socket of the HOST's that is to be served: message "serve". */
export type Wanted = Extract<ToTwins, { kind: "serve" }>;
/** A socket that a process here has bound: message "own". */
export type Owned = Extract<ToTwins, { kind: "own" }>;

/** What the server is asked. */
export type Question = readonly [op: number, args: Argument[]];

/** As whom somebody connects, and by which path it is called there, or "". */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly name: string;
}

export interface Ground {
  /** Of streams for who connects on the HOST to what is bound here. */
  readonly incoming: number;
  /** Listens in place of the HOST's socket: a descriptor or -errno, and the path that it is called by on the HOST. */
  bind(wanted: Wanted, done: (fd: number, path: string) => void): void;
  /** Connects to what is bound here: a descriptor or -errno. */
  connect(owned: Owned, caller: Caller, done: (fd: number) => void): void;
  /** Whether somebody here has the socket that nobody listens at: -ECONNREFUSED if not. Beyond 0 it is a descriptor. */
  probe(owned: Owned, done: (result: number) => void): void;
  /** Says -ESTALE if the socket is gone for good, as far as that is known without asking for it. */
  look(owned: Owned, done: (result: number) => void): void;
  /** How a key is had for the HOST's socket. */
  open(wanted: Wanted): Question;
  /** How the server is made to listen once more. */
  rebind(owned: Owned): Question;
  /** Says to the mount's thread what has become of a socket. */
  tell(message: FromTwins): void;
}

/** Files of the mount. */
export class MountGround implements Ground {
  readonly incoming = StreamKind.INCOMING;
  readonly #side: TwinSide;

  constructor(side: TwinSide) {
    this.#side = side;
  }

  bind({ kind: _, ...place }: Wanted, done: (fd: number, path: string) => void): void {
    this.#side.doorman.ask({ kind: "bind", ...place }, ({ result, path = place.name }) => {
      done(result, path);
    });
  }

  connect(owned: Owned, caller: Caller, done: (fd: number) => void): void {
    this.#connect(owned, owned.type, caller, done);
  }

  /** The kernel says so to who connects as another type (EPROTOTYPE): where names keep the inode it is forgotten later. */
  probe(owned: Owned, done: (result: number) => void): void {
    const other = owned.type === SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM;
    this.#connect(owned, other, { uid: 0, gid: 0, name: "" }, done);
  }

  look({ channel, node }: Owned, done: (result: number) => void): void {
    this.#side.doorman.ask({ kind: "look", channel, node }, ({ result }) => done(result));
  }

  open({ node }: Wanted): Question {
    return [Op.TWIN_OPEN, [node]];
  }

  rebind({ node, type }: Owned): Question {
    return [Op.SOCKET_REBIND, [node, type]];
  }

  tell(message: FromTwins): void {
    this.#side.tell(message);
  }

  #connect(
    { channel, node }: { channel: number; node: Node },
    type: number,
    caller: Caller,
    done: (fd: number) => void,
  ): void {
    const job = { kind: "connect", channel, node, type, ...caller } as const;
    this.#side.doorman.ask(job, ({ result }) => done(result));
  }
}
