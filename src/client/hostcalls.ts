/**
 * Calls that act on the HOST's kernel and are no file operations of a mount: mount(2),
 * umount2(2), mount_setattr(2). A session of its own beside that of a mount's process: it asks for one
 * thing at a time and waits for the answer. One that loses its connection goes on in the
 * next, and what it had asked for is done once (server/slots.ts).
 */
import { machineFacts } from "../info/facts.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import type { Address } from "../transport/address.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED } from "../transport/transport.ts";
import {
  MountCall,
  OpenTree,
  PROCESS_START_BYTES,
  ProcessCall,
  ROOT_NODE,
} from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { AFFINITY_MAX } from "../wire/limits.ts";
import { ARGUMENTS, Op } from "../wire/ops.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { type Attached, attachTo, connectFirst, expectFrame, FIRST_EPOCH } from "./connect.ts";
import { sayGoodbye } from "./goodbye.ts";
import { expectKind, readHello, sayHello } from "./greeting.ts";

/** How long a server may take to be there again. */
const AWAY_MS = 30_000;
const RETRY_MS = 100;
/** All requests are those of one slot; its first one was ATTACH. */
const SLOT = 0;
/** Of PLACE_STATFS's answer. */
const STATFS_FIELDS = 10;

/** Where on the HOST: a path below what the session attached to, a byte a character. */
export type HostPath = string;

/** What mount_setattr(2) changes: MountAttr bits, and a MountFlag for how mounts propagate. */
export interface Attributes {
  set: number;
  clear: number;
  propagation?: number;
  /** Of the mounts below, too. */
  isRecursive: boolean;
}

export interface HostMount {
  /** What to bind or move; of a new file system the directory that paths in its data begin at. */
  from?: HostPath;
  /** Empty for none (NULL). */
  source: string;
  at: HostPath;
  /** Empty for none (NULL). */
  type: string;
  /** MountFlag bits. */
  flags: number;
  /** At most MOUNT_DATA_MAX bytes; empty for none (NULL). */
  data: Uint8Array;
}

/** What another process needs to go on with a session. */
export interface HostSession {
  /** Its id, a secret of 32 hexadecimal digits. */
  readonly id: string;
  /** Number of the request made last. */
  readonly sequence: number;
  /** EVENT frames that came. */
  readonly events: number;
}

/** Where a file system's figures are put, in the order of PLACE_STATFS's answer. */
export type StatfsFields = readonly number[];

/** A start as PROCESS says it; nothing for any. */
export function startBytes(startedAt: number | undefined): Buffer {
  if (startedAt === undefined) return Buffer.alloc(0);
  const bytes = Buffer.alloc(PROCESS_START_BYTES);
  bytes.writeBigUInt64LE(BigInt(startedAt));
  return bytes;
}

export class HostCalls {
  readonly #addresses: readonly Address[];
  #session: string;
  #transport: SocketTransport;
  #sequence = 1;
  #events = 0;
  /** Called before a request is sent: what is kept by then is enough to learn its answer. */
  keep: (session: HostSession) => void = () => {};

  /** Attaches to `source` at the first of `addresses` that takes us; throws a sentence. */
  constructor(addresses: readonly Address[], source: string, timeoutMs: number) {
    // By paths from the root all mounts can be told apart: one tree will do.
    const subject = { source, facts: machineFacts(), splits: false };
    const attached: Attached = attachTo(addresses, subject, timeoutMs);
    this.#addresses = addresses;
    this.#session = attached.session;
    this.#transport = attached.transport;
  }

  /** Whether the connection stands; it is only looked at when something is asked. */
  get isConnected(): boolean {
    return this.#transport.receive() !== CLOSED;
  }

  /**
   * Goes on with the session of a process that has died: the next request is the one that
   * had been made last, so it is carried out once. Throws a sentence if the server knows
   * nothing of the session.
   */
  goOn({ id, sequence, events }: HostSession): void {
    sayGoodbye(this.#transport);
    this.#session = id;
    this.#sequence = sequence - 1;
    this.#events = events;
    this.#resume();
  }

  /**
   * statfs(2) of what is mounted at the place: an errno, or the answer's fields with their
   * halves one after the other, upper first.
   */
  statfs(at: HostPath): number | StatfsFields {
    const fields: number[] = [];
    const errno = this.#ask(
      Op.PLACE_STATFS,
      (w) => {
        w.uint(ROOT_NODE);
        w.latin1(at);
      },
      new Uint8Array(),
      (reader) => {
        for (let i = 0; i < STATFS_FIELDS; i++) {
          reader.uint64();
          fields.push(reader.high, reader.low);
        }
      },
    );
    return errno === 0 ? fields : errno;
  }

  /** mount(2) on the HOST; 0 or an errno. Throws a sentence where nobody can tell. */
  mount({ from, source, at, type, flags, data }: HostMount): number {
    const write = (w: Writer) => {
      w.uint(from === undefined ? 0 : ROOT_NODE);
      w.latin1(from ?? "");
      w.uint(ROOT_NODE);
      w.latin1(at);
      w.latin1(source);
      w.latin1(type);
      w.uint(flags);
    };
    return this.#ask(Op.MOUNT, write, data);
  }

  /** umount2(2) on the HOST with UmountFlag bits; 0 or an errno. */
  umount(at: HostPath, flags: number): number {
    const write = (w: Writer) => {
      w.uint(ROOT_NODE);
      w.latin1(at);
      w.uint(flags);
    };
    return this.#ask(Op.UMOUNT, write, new Uint8Array());
  }

  /** mount_setattr(2) on the HOST of what is mounted there. */
  setAttributes(at: HostPath, { set, clear, propagation = 0, isRecursive }: Attributes): number {
    const flags = isRecursive ? OpenTree.RECURSIVE : 0;
    return this.#mountCall(MountCall.SETATTR, at, [flags, set, clear, propagation]);
  }

  /** Makes a network namespace on the HOST and mounts it there; 0 or an errno. */
  makeNetns(at: HostPath): number {
    return this.#mountCall(MountCall.NETNS, at, [0, 0, 0, 0]);
  }

  #mountCall(call: number, at: HostPath, values: readonly number[]): number {
    const write = (w: Writer) => {
      w.uint(call);
      w.uint(0);
      w.uint(ROOT_NODE);
      w.latin1(at);
      for (const value of values) w.uint(value);
    };
    return this.#ask(Op.MOUNT_CALL, write, new Uint8Array());
  }

  /**
   * kill(2) on the HOST, as the caller `uid` may; 0 or an errno. `startedAt`: of which start the
   * process must be (`startOf`), or ESRCH.
   */
  signal(pid: number, signal: number, uid: number, startedAt?: number): number {
    return this.#process(ProcessCall.SIGNAL, pid, uid, signal, startBytes(startedAt));
  }

  /** When a process of the HOST's was started, as its `startOf` has it; or -errno. */
  startOf(pid: number): number {
    let startedAt = 0;
    const errno = this.#process(ProcessCall.START, pid, 0, 0, startBytes(undefined), (text) => {
      startedAt = Number(Buffer.from(text, "latin1").readBigUInt64LE());
    });
    return errno === 0 ? startedAt : -errno;
  }

  /** sched_setaffinity(2) on the HOST; 0 or an errno. */
  setAffinity(pid: number, uid: number, mask: Uint8Array): number {
    return this.#process(ProcessCall.SET_AFFINITY, pid, uid, 0, mask);
  }

  /** sched_getaffinity(2) on the HOST: the set, or an errno. */
  getAffinity(pid: number, uid: number): Uint8Array | number {
    let mask = new Uint8Array();
    const read = (text: string) => {
      mask = Buffer.from(text, "latin1");
    };
    const errno = this.#process(ProcessCall.GET_AFFINITY, pid, uid, 0, mask, read);
    return errno === 0 ? mask : errno;
  }

  #process(
    call: number,
    pid: number,
    uid: number,
    signal: number,
    payload: Uint8Array = new Uint8Array(),
    read: (text: string) => void = () => {},
  ): number {
    const write = (w: Writer) => {
      for (const value of [call, pid, uid, signal]) w.uint(value);
    };
    return this.#ask(Op.PROCESS, write, payload, (reader) => read(reader.latin1(AFFINITY_MAX)));
  }

  /** Ends the session. */
  close(): void {
    sayGoodbye(this.#transport);
    this.#transport.release();
  }

  #ask(
    op: number,
    write: (w: Writer) => void,
    payload: Uint8Array,
    read: (reader: Reader) => void = () => {},
  ): number {
    this.#sequence++;
    this.keep({ id: this.#session, sequence: this.#sequence, events: this.#events });
    while (true) {
      const w = this.#transport.begin(Kind.REQUEST);
      w.array(3 + (ARGUMENTS[op] as number));
      w.uint(SLOT);
      w.uint(this.#sequence);
      w.uint(op);
      write(w);
      this.#transport.endCopy(payload, payload.length);
      this.#transport.flush();
      const errno = this.#answer(read);
      if (errno !== undefined) return errno;
      this.#resume();
    }
  }

  /** The answer's errno once it comes; undefined if the connection ends before. */
  #answer(read: (reader: Reader) => void): number | undefined {
    const transport = this.#transport;
    const polls = new PollSet(1);
    polls.add(transport.fd, POLLIN);
    while (true) {
      while (transport.next()) {
        if (transport.kind === Kind.EVENT) {
          this.#events++;
          continue;
        }
        expectKind(transport, Kind.REPLY);
        const { reader } = transport;
        reader.array();
        const isOurs = reader.uint() === SLOT && reader.uint() === this.#sequence;
        if (!isOurs) throw new ProtocolError("server answers what was not asked");
        const errno = reader.uint();
        if (errno === 0) read(reader);
        return errno;
      }
      // For as long as it takes: the call may wait on the HOST, and whoever waits here may be killed.
      polls.wait(-1);
      if (transport.receive() === CLOSED) return undefined;
    }
  }

  /** Another connection for the session; throws a sentence if there is none, or no session. */
  #resume(): void {
    const deadlineMs = Date.now() + AWAY_MS;
    const name = { id: this.#session, resumes: true, epoch: FIRST_EPOCH, events: this.#events };
    while (true) {
      try {
        const next = connectFirst(this.#addresses);
        // Once for each: the memory may be another's after that.
        this.#transport.close();
        this.#transport.release();
        this.#transport = next;
        sayHello(this.#transport, name, machineFacts());
        expectFrame(this.#transport, Kind.HELLO, deadlineMs);
        break;
      } catch (error) {
        if (Date.now() > deadlineMs) throw error;
        Bun.sleepSync(RETRY_MS);
      }
    }
    if (readHello(this.#transport).resumed) return;
    throw new Error("The server was started anew: whether it was done on the HOST is not known");
  }
}
