/**
 * One client's session: what it attached to, knows and has open, and the slots
 * its requests come in; what an operation reads its arguments from and answers
 * through. It belongs to one thread, which never blocks here.
 *
 * A session outlives its connection: while it has none, its transport is a closed
 * one, calls under way go on, and what they answer is kept for a repetition.
 */
import type { Counters } from "../info/counters.ts";
import { PathBuffer } from "../sys/cstring.ts";
import type { Transport } from "../transport/transport.ts";
import { ROOT_NODE } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { NAME_MAX } from "../wire/limits.ts";
import { changesSomething, Event, OP_COUNT } from "../wire/ops.ts";
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { MountObjects } from "./mountobjects.ts";
import type { SessionRecord } from "./record/record.ts";
import { ownerOf } from "./registry.ts";
import type { ReactorServices } from "./services.ts";
import { NEVER_CAME, Slots } from "./slots.ts";
import type { Tree } from "./tree.ts";
import { TwinKeys } from "./twinkeys.ts";
import { Wakeups } from "./wakeups.ts";
import { WriteAhead } from "./writeahead.ts";

const SLASH = 0x2f;
const DOT = 0x2e;
const NONE = -1;

/** Operations whose answer is kept (1); also that of a request cancelled before it came. */
export const KEPT = Uint8Array.from({ length: OP_COUNT }, (_, op) =>
  changesSomething(op) || op === NEVER_CAME ? 1 : 0,
);
const names = new PathBuffer(4);

/** Answer of an operation that will be given later. */
export const LATER = -1;

/** User id of who cannot be told, as SO_PEERCRED says it: (uid_t)-1. */
export const NO_UID = 0xffff_ffff;

/** Rows of nodes, -1 for none, and names, empty for none. */
export interface Touched {
  row: number;
  otherRow: number;
  name: string;
  otherName: string;
}

/** Who a session is of, as its HELLO and its connection say. */
export interface SessionClient {
  /** The session's id, a secret. */
  readonly session: string;
  /** User id of the connection's other end; NO_UID where none is known. */
  readonly uid: number;
  readonly role: string;
  /** The name that its connections show certificates for, where they do. */
  readonly name?: string;
}

export class Session {
  /** The connection; a closed transport while there is none. */
  transport: Transport;
  reader: Reader;
  readonly services: ReactorServices;
  readonly counters: Counters;
  readonly slots: Slots;
  /** Where its tables and slots are. */
  readonly record: SessionRecord;
  /** Whose it is. */
  readonly client: SessionClient;
  /** What the session attached to; undefined until it did. */
  tree: Tree | undefined;
  /** Set by the client's GOODBYE: the session ends with its connection. */
  ended = false;

  /** The request being served. */
  slot = 0;
  sequence = 0;
  op = 0;
  /** Text of the name read last by `nameAt`, a byte a character. */
  nameText = "";

  /** The last two nodes and names that were read: what the request being served is about. */
  readonly touched: Touched = { row: NONE, otherRow: NONE, name: "", otherName: "" };

  /** Realtime in ns since when the request being served may have run before; 0: it has not. */
  doubtSinceNs = 0;

  /** What the new mount API has made for the session. */
  readonly mountObjects = new MountObjects();

  /** What its client may have streams joined to. */
  readonly twins = new TwinKeys();

  /** The data of its WRITE that is arriving. */
  readonly ahead = new WriteAhead();

  readonly #wakeups = new Wakeups();
  /** What to call when a slot's request is cancelled. */
  readonly #cancels = new Map<number, () => void>();
  #headerStart = 0;
  #writer: Writer | undefined;
  readonly #undo = (high: number, low: number) => this.#forgetLookup(high, low);

  /** `record`: a new one, or what another process has left of the session; owned from now on. */
  constructor(
    transport: Transport,
    services: ReactorServices,
    client: SessionClient,
    record: SessionRecord,
  ) {
    this.transport = transport;
    this.reader = transport.reader;
    this.services = services;
    this.counters = services.counters;
    this.client = client;
    this.record = record;
    this.slots = new Slots(record.slots);
    this.slots.connectionChanged();
  }

  /** The client's number for the session; undefined until it has attached. */
  get epoch(): number | undefined {
    return this.record.details?.epoch;
  }

  /** What the bridge knows it by. */
  get owner(): string {
    return ownerOf(this.client.session, this.client.uid);
  }

  /** Server processes that have had the session. */
  get lives(): number {
    return this.record.lives;
  }

  /** Answers and events go to `transport` from now on; a closed one takes them nowhere. */
  connect(transport: Transport): void {
    this.transport = transport;
    this.reader = transport.reader;
    this.slots.connectionChanged();
    if (transport.closed) this.tree?.watched.detached();
  }

  /** Tells a client that is back, and has taken in `events` EVENT frames, of what it missed. */
  catchUp(events: number): void {
    const { slots, tree } = this;
    const sent = slots.events;
    slots.events = events;
    if (events !== sent) {
      // A count that was never reached is no count: all are told again.
      const lost = this.#wakeups.takeAfter(events < sent ? events : 0);
      for (const [high, low] of lost) this.sendWakeup(high, low);
    }
    tree?.watched.resumed(events !== sent);
    tree?.mounts?.resumed(events !== sent);
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
    const row = this.attached.nodes.row(reader.high, reader.low);
    this.#touch(row);
    return row;
  }

  /** The handle argument here; 0 for none, -1 for one that is not open. */
  handle(): number {
    const number = this.reader.uint32();
    if (number === 0) return 0;
    const { handles } = this.attached;
    const handle = handles.byNumber(number);
    if (handle > 0) this.#touch(handles.node[handle] as number);
    return handle;
  }

  #touch(row: number): void {
    const { touched } = this;
    touched.otherRow = touched.row;
    touched.row = row;
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
    this.touched.otherName = this.touched.name;
    this.nameText = bytes.latin1Slice(start, reader.at);
    this.touched.name = this.nameText;
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
    this.slots.answered(this.slot);
    w.array(3 + results);
    w.uint(this.slot);
    w.uint(this.sequence);
    w.uint(0);
    return w;
  }

  /** Sends the answer started by `reply`, which has no payload. */
  send(): void {
    if (KEPT[this.op] === 1) this.#keep();
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
    this.slots.answered(this.slot);
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
    this.slots.setBusy(slot, true);
    this.#cancels.set(slot, cancel);
    return () => {
      this.slots.setBusy(slot, false);
      this.#cancels.delete(slot);
      this.slot = slot;
      this.sequence = sequence;
      this.op = op;
      this.counters.served(op, Bun.nanoseconds() - since);
    };
  }

  /** Starts an EVENT frame, which is counted. */
  beginEvent(): Writer {
    this.slots.countEvent();
    return this.transport.begin(Kind.EVENT);
  }

  /** Sends POLL_READY with `high:low`. */
  sendWakeup(high: number, low: number): void {
    const w = this.beginEvent();
    w.array(2);
    w.uint(Event.POLL_READY);
    w.uint64(high, low);
    this.transport.end();
    this.#wakeups.sent(this.slots.events, high, low);
  }

  /** The request being served has counted a lookup of `row`, and is run again if repeated. */
  countLookup(row: number): void {
    this.slots.countLookup(this.slot, this.attached.nodes.high(row), row);
  }

  /** Notes a number that tells later whether the request being served was carried out (doubt.ts). */
  note(value: number): void {
    this.slots.note(this.slot, value);
  }

  /** Interrupts the call that works for the slot's request. */
  cancelCall(slot: number): void {
    this.#cancels.get(slot)?.();
  }

  /** Interrupts every call that works for the session. */
  cancelAll(): void {
    for (const cancel of this.#cancels.values()) cancel();
  }

  /** Lets go of everything the session had; its transport is closed and no call runs. */
  dispose(): void {
    this.mountObjects.close();
    if (this.tree !== undefined) {
      this.tree.close();
      this.tree = undefined;
      return;
    }
    this.record.remove();
    this.record.close();
  }

  /** Requests that another thread is working on. */
  get waiting(): number {
    return this.#cancels.size;
  }

  /** Answers the request being served with what is kept of its first run. */
  sendKept(): void {
    const kept = this.slots.kept(this.slot);
    const w = this.transport.begin(Kind.REPLY);
    w.bytes.set(kept, w.at);
    w.at += kept.length;
    this.slots.answered(this.slot);
    this.transport.end();
  }

  #keep(): void {
    const w = this.#writer as Writer;
    this.slots.keep(this.slot, w.bytes, this.#headerStart, w.at);
  }

  /** Takes back the lookups that the request being served has counted in vain. */
  undoLookups(): void {
    this.slots.takeLookups(this.slot, this.#undo);
  }

  #forgetLookup(high: number, low: number): void {
    const row = this.tree?.nodes.row(high, low) ?? NONE;
    if (row <= ROOT_NODE) return;
    this.tree?.forget(row, 1);
    this.counters.count("LOOKUPS_UNDONE");
  }
}

export type Operation = (session: Session) => number;
