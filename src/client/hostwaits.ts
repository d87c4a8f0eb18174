/**
 * Waits for ends of the HOST's processes: many at a time, in a session of their own, beside the
 * calls that are answered one by one (hostcalls.ts). What was asked is asked again in the next
 * connection, and in the next session, where the server knows this one no more.
 */
import { machineFacts } from "../info/facts.ts";
import { E } from "../sys/errno.ts";
import type { Address } from "../transport/address.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED } from "../transport/transport.ts";
import { ProcessCall } from "../wire/constants.ts";
import { Kind } from "../wire/frame.ts";
import { WAITS_MAX } from "../wire/limits.ts";
import { ARGUMENTS, Op } from "../wire/ops.ts";
import { attachTo, connectFirst, expectFrame, FIRST_EPOCH } from "./connect.ts";
import { expectKind, readHello, sayHello } from "./greeting.ts";
import { startBytes } from "./hostcalls.ts";

/** Slot 0 has had ATTACH. */
const FIRST_SLOT = 1;

/** A process of the HOST's, and how it is told apart from others of its number. */
export interface HostProcess {
  readonly pid: number;
  /** HostCalls.startOf */
  readonly startedAt: number;
}

interface Slot {
  sequence: number;
  process: HostProcess | undefined;
}

export class HostWaits {
  readonly #addresses: readonly Address[];
  readonly #source: string;
  /** Called when one has ended (0, or ESRCH before it was asked), or is not to be waited for (errno). */
  readonly #ended: (process: HostProcess, errno: number) => void;
  #slots = freshSlots();
  #session = "";
  #events = 0;
  #transport: SocketTransport | undefined;
  /** Those that have not been asked for in a connection yet. */
  readonly #new: HostProcess[] = [];

  constructor(
    addresses: readonly Address[],
    source: string,
    ended: (process: HostProcess, errno: number) => void,
  ) {
    this.#addresses = addresses;
    this.#source = source;
    this.#ended = ended;
  }

  /** To be polled for input; -1 while there is no connection. */
  get fd(): number {
    return this.#transport?.fd ?? -1;
  }

  /** Waits for one more; at most WAITS_MAX are waited for, beyond them `ended` is called with EAGAIN. */
  add(process: HostProcess): void {
    this.#new.push(process);
    this.#ask();
  }

  /** Connects, if there is no connection; throws a sentence where it cannot. */
  connect(timeoutMs: number): void {
    if (this.#transport !== undefined) return;
    if (this.#session === "" || !this.#resume(timeoutMs)) this.#attach(timeoutMs);
    this.#ask();
  }

  /** Takes what has come. Throws a sentence where the connection is lost for what the server says. */
  receive(): void {
    const transport = this.#transport;
    if (transport === undefined) return;
    const hasEnded = transport.receive() === CLOSED;
    try {
      while (transport.next()) this.#take(transport);
    } catch (error) {
      this.#lose();
      throw error;
    }
    if (hasEnded) this.#lose();
  }

  #take(transport: SocketTransport): void {
    if (transport.kind === Kind.EVENT) {
      this.#events++;
      return;
    }
    expectKind(transport, Kind.REPLY);
    const { reader } = transport;
    reader.array();
    const slot = this.#slots[reader.uint() - FIRST_SLOT];
    const isCurrent = reader.uint() === slot?.sequence;
    const errno = reader.uint();
    const process = slot?.process;
    if (slot === undefined || !isCurrent || process === undefined) return;
    slot.process = undefined;
    this.#ended(process, errno === E.ESRCH ? 0 : errno);
  }

  #lose(): void {
    if (this.#transport !== undefined) drop(this.#transport);
    this.#transport = undefined;
  }

  #ask(): void {
    if (this.#transport === undefined) return;
    for (const process of this.#new.splice(0)) {
      const index = this.#slots.findIndex((one) => one.process === undefined);
      const slot = this.#slots[index];
      if (slot === undefined) {
        this.#ended(process, E.EAGAIN);
        continue;
      }
      slot.process = process;
      slot.sequence++;
      this.#send(this.#transport, index);
    }
    this.#transport.flush();
  }

  #send(transport: SocketTransport, index: number): void {
    const { sequence, process } = this.#slots[index] as Slot;
    if (process === undefined) return;
    const w = transport.begin(Kind.REQUEST);
    w.array(3 + (ARGUMENTS[Op.PROCESS] as number));
    for (const value of [index + FIRST_SLOT, sequence, Op.PROCESS]) w.uint(value);
    for (const value of [ProcessCall.WAIT, process.pid, 0, 0]) w.uint(value);
    const start = startBytes(process.startedAt);
    transport.endCopy(start, start.length);
  }

  /** Goes on with the session; false where the server knows it no more. */
  #resume(timeoutMs: number): boolean {
    const name = { id: this.#session, resumes: true, epoch: FIRST_EPOCH, events: this.#events };
    const transport = connectFirst(this.#addresses);
    sayHello(transport, name, machineFacts());
    try {
      expectFrame(transport, Kind.HELLO, Date.now() + timeoutMs);
      if (readHello(transport).resumed) this.#transport = transport;
    } finally {
      if (this.#transport === undefined) drop(transport);
    }
    if (this.#transport === undefined) return false;
    for (const index of this.#slots.keys()) this.#send(transport, index);
    transport.flush();
    return true;
  }

  #attach(timeoutMs: number): void {
    const subject = { source: this.#source, facts: machineFacts(), splits: false };
    const { session, transport } = attachTo(this.#addresses, subject, timeoutMs);
    this.#new.unshift(...this.#slots.flatMap(({ process }) => process ?? []));
    this.#slots = freshSlots();
    this.#session = session;
    this.#events = 0;
    this.#transport = transport;
  }
}

function drop(transport: SocketTransport): void {
  transport.close();
  transport.release();
}

function freshSlots(): Slot[] {
  return Array.from({ length: WAITS_MAX }, () => ({ sequence: 0, process: undefined }));
}
