/**
 * One client's session: what it attached to, knows and has open, and the slots
 * its requests come in. Frames come in through `serve`, answers leave through
 * the transport; both belong to one thread, which never blocks here.
 */
import type { Counters } from "../info/counters.ts";
import { PathBuffer } from "../sys/cstring.ts";
import type { Transport } from "../transport/transport.ts";
import { Goodbye } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { NAME_MAX, REPLAY_MAX, SLOTS_MAX } from "../wire/limits.ts";
import { ARGUMENTS, changesSomething, OP_COUNT } from "../wire/ops.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { greet } from "./greeting.ts";
import { oneway } from "./oneway.ts";
import { operations } from "./operations.ts";
import type { ReactorServices } from "./services.ts";
import type { Tree } from "./tree.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
const NONE = -1;

const changing = Uint8Array.from({ length: OP_COUNT }, (_, op) => (changesSomething(op) ? 1 : 0));
const expected = Int32Array.from({ length: OP_COUNT }, (_, op) => ARGUMENTS[op] ?? NONE);
const names = new PathBuffer(4);

/** Answer of an operation that will be given later. */
export const LATER = -1;

export class Session {
  readonly transport: Transport;
  readonly services: ReactorServices;
  readonly reader: Reader;
  readonly counters: Counters;
  /** What the session attached to; undefined until it did. */
  tree: Tree | undefined;
  /** Set by the handshake. */
  greeted = false;
  name = "";
  role = "";

  /** The request being served. */
  slot = 0;
  sequence = 0;
  op = 0;
  /** Text of the name read last by `nameAt`, a byte a character. */
  nameText = "";

  readonly #sequences = new Float64Array(SLOTS_MAX);
  /** Slots whose request is under way in another thread. */
  readonly #busy = new Uint8Array(SLOTS_MAX);
  /** The last answer of each slot that changed something, and its request's sequence. */
  readonly #kept: (Buffer | undefined)[] = [];
  readonly #keptSequences = new Float64Array(SLOTS_MAX);
  /** What to call when a slot's request is cancelled. */
  readonly #cancels = new Map<number, () => void>();
  #headerStart = 0;
  #writer: Writer | undefined;

  constructor(transport: Transport, services: ReactorServices) {
    this.transport = transport;
    this.services = services;
    this.reader = transport.reader;
    this.counters = services.counters;
  }

  /** Serves every frame that has arrived, until answers no longer leave. */
  serve(): void {
    const transport = this.transport;
    while (!transport.congested && transport.next()) {
      switch (transport.kind) {
        case Kind.REQUEST:
          this.#request();
          break;
        case Kind.ONEWAY:
          oneway(this);
          break;
        case Kind.CANCEL:
          this.#cancel();
          break;
        case Kind.HELLO:
          greet(this);
          break;
        case Kind.GOODBYE:
          transport.close();
          return;
        default:
          throw new ProtocolError(`frame of kind ${transport.kind} is not for a server`);
      }
    }
  }

  /** The tree, for an operation that needs one. */
  get attached(): Tree {
    if (this.tree === undefined) throw new ProtocolError("operation before ATTACH");
    return this.tree;
  }

  /** Row of the node argument here; -1 for one that is no longer known. */
  node(): number {
    const reader = this.reader;
    reader.uint64();
    return this.attached.nodes.row(reader.high, reader.low);
  }

  /** The handle argument here; 0 for none, -1 for one that is not open. */
  handle(): number {
    const handle = this.reader.uint32();
    return handle === 0 || this.attached.handles.has(handle) ? handle : NONE;
  }

  /** Address of the name argument here, one path component, in path slot `index`. */
  nameAt(index: number): number {
    const reader = this.reader;
    const length = reader.blob(NAME_MAX);
    const bytes = reader.bytes;
    const start = reader.start;
    if (length === 0) throw new ProtocolError("name is empty");
    for (let i = start; i < reader.at; i++) {
      const byte = bytes[i] as number;
      if (byte === 0 || byte === SLASH) throw new ProtocolError("name has a slash or NUL");
    }
    const dots =
      bytes[start] === DOT && (length === 1 || (length === 2 && bytes[start + 1] === DOT));
    if (dots) throw new ProtocolError("name is a dot or two");
    this.nameText = bytes.latin1Slice(start, reader.at);
    return names.putBytes(index, bytes, start, reader.at);
  }

  /** Address of a byte-string argument of at most `max` bytes without NUL. */
  textAt(index: number, max: number): number {
    const reader = this.reader;
    reader.blob(max);
    if (reader.bytes.subarray(reader.start, reader.at).includes(0)) {
      throw new ProtocolError("text has a NUL");
    }
    return names.putBytes(index, reader.bytes, reader.start, reader.at);
  }

  /** Starts the answer of the request being served, with `results` results. */
  reply(results: number): Writer {
    const w = this.transport.begin(Kind.REPLY);
    this.#writer = w;
    this.#headerStart = w.at;
    w.array(3 + results);
    w.uint(this.slot);
    w.uint(this.sequence);
    w.uint(0);
    return w;
  }

  /** Sends the answer started by `reply`, which has no payload. */
  send(): void {
    if (changing[this.op] === 1) this.#keep();
    this.transport.end();
  }

  /** Keeps the answer started by `reply` for a replay, before its payload is added. */
  keepReply(): void {
    this.#keep();
  }

  /** Answers the request being served with an errno. */
  fail(errno: number): void {
    const w = this.transport.begin(Kind.REPLY);
    this.#writer = w;
    this.#headerStart = w.at;
    w.array(3);
    w.uint(this.slot);
    w.uint(this.sequence);
    w.uint(errno);
    this.send();
    this.counters.failed(this.op, errno);
  }

  /**
   * Lets the request being served be answered later: the returned function
   * makes it the current one again, so that `reply` or `fail` answer it.
   */
  defer(cancel: () => void): () => void {
    const { slot, sequence, op } = this;
    const since = Bun.nanoseconds();
    this.#busy[slot] = 1;
    this.#cancels.set(slot, cancel);
    return () => {
      this.#busy[slot] = 0;
      this.#cancels.delete(slot);
      this.slot = slot;
      this.sequence = sequence;
      this.op = op;
      this.counters.served(op, Bun.nanoseconds() - since);
    };
  }

  /** Says why, and closes the connection. */
  end(code: number, reason: string): void {
    if (this.transport.closed) return;
    if (!this.transport.congested) {
      const w = this.transport.begin(Kind.GOODBYE);
      w.array(2);
      w.uint(code);
      w.latin1(reason.slice(0, NAME_MAX));
      this.transport.end();
      this.transport.flush();
    }
    this.transport.close();
    if (code === Goodbye.PROTOCOL) this.counters.protocolErrors++;
  }

  /** Interrupts every call that works for the session. */
  cancelAll(): void {
    for (const cancel of this.#cancels.values()) cancel();
  }

  /** Lets go of everything the session had; its transport is closed and no call runs. */
  dispose(): void {
    this.tree?.close();
    this.tree = undefined;
  }

  /** Requests that another thread is working on. */
  get waiting(): number {
    return this.#cancels.size;
  }

  #request(): void {
    const reader = this.reader;
    const items = reader.array();
    const slot = reader.uint();
    const sequence = reader.uint();
    const op = reader.uint();
    if (!this.greeted) throw new ProtocolError("request before HELLO");
    if (slot >= SLOTS_MAX || op >= OP_COUNT || items !== (expected[op] as number) + 3) {
      throw new ProtocolError(`request of unknown form (operation ${op}, ${items} items)`);
    }
    this.slot = slot;
    this.sequence = sequence;
    this.op = op;
    if (sequence === 0) throw new ProtocolError("sequences begin at 1");
    const last = this.#sequences[slot] as number;
    if (sequence !== last + 1) {
      this.#repeated(sequence, last);
      return;
    }
    if (this.#busy[slot] === 1) throw new ProtocolError(`slot ${slot} is still in use`);
    this.#sequences[slot] = sequence;
    this.#run(op);
  }

  #run(op: number): void {
    const started = Bun.nanoseconds();
    const operation = operations[op];
    if (operation === undefined) throw new ProtocolError(`operation ${op} is not served here`);
    const errno = operation(this);
    if (errno > 0) this.fail(errno);
    if (errno !== LATER) this.counters.served(op, Bun.nanoseconds() - started);
  }

  /** A request seen before: the kept answer, or the run again of what changes nothing. */
  #repeated(sequence: number, last: number): void {
    if (sequence !== last) {
      throw new ProtocolError(`slot ${this.slot} skipped from ${last} to ${sequence}`);
    }
    if (this.#busy[this.slot] === 1) return;
    this.counters.replays++;
    const kept = this.#kept[this.slot];
    if (changing[this.op] === 0) {
      this.#run(this.op);
    } else if (kept !== undefined && this.#keptSequences[this.slot] === sequence) {
      const w = this.transport.begin(Kind.REPLY);
      w.bytes.set(kept, w.at);
      w.at += kept.length;
      this.transport.end();
    } else {
      throw new ProtocolError(`slot ${this.slot} repeats ${sequence} as another operation`);
    }
  }

  #keep(): void {
    const w = this.#writer as Writer;
    const length = w.at - this.#headerStart;
    if (length > REPLAY_MAX) throw new Error(`Answer of operation ${this.op} exceeds REPLAY_MAX`);
    let kept = this.#kept[this.slot];
    if (kept === undefined || kept.buffer.byteLength < length) {
      kept = Buffer.from(new ArrayBuffer(length < 192 ? 192 : REPLAY_MAX));
    }
    const whole = Buffer.from(kept.buffer, 0, length);
    whole.set(w.bytes.subarray(this.#headerStart, w.at));
    this.#kept[this.slot] = whole;
    this.#keptSequences[this.slot] = this.sequence;
  }

  #cancel(): void {
    const reader = this.reader;
    reader.array();
    const slot = reader.uint();
    const sequence = reader.uint();
    reader.finish();
    if (slot >= SLOTS_MAX) throw new ProtocolError("CANCEL of an unknown slot");
    if (this.#sequences[slot] === sequence) this.#cancels.get(slot)?.();
  }
}

export type Operation = (session: Session) => number;
