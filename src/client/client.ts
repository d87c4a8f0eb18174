/**
 * What forwards the kernel's requests to the server and the server's answers to
 * the kernel: the state that the functions in `forward/` share.
 */
import type { FuseDevice } from "../fuse/device.ts";
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from "../fuse/protocol.ts";
import type { Counters } from "../info/counters.ts";
import type { Transport } from "../transport/transport.ts";
import { type Attributes, emptyAttributes, readAttributes } from "../wire/attributes.ts";
import { nodePolicy, ROOT_NODE } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind } from "../wire/frame.ts";
import { ARGUMENTS, Oneway, OP_COUNT } from "../wire/ops.ts";
import { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { putAttrOut, putEntry, type Validity } from "./answers.ts";
import { Lookahead } from "./lookahead.ts";
import { Memo } from "./memo.ts";
import { Pending, State } from "./pending.ts";

const TWO_32 = 0x1_0000_0000;
const items = Uint8Array.from({ length: OP_COUNT }, (_, op) => (ARGUMENTS[op] ?? 0) + 3);

/** Payloads up to this are copied next to their header rather than gathered. */
const COPY_MAX = 16 * 1024;

/** Forgets that gather before they are sent, in one frame. */
const FORGETS_GATHERED = 128;
/** Numbers of a forget: the node's halves and how many lookups. */
const FORGET_NUMBERS = 3;

/** Caching as mounted. */
export type CacheMode = "never" | "auto" | "always";

export class Client {
  readonly fuse: FuseDevice;
  readonly transport: Transport;
  readonly pending: Pending;
  readonly counters: Counters;
  readonly cache: CacheMode;
  readonly validity: Validity;
  readonly attributes: Attributes = emptyAttributes();
  /** Reads a payload that is itself CBOR. */
  readonly payload: Reader;
  /** Nodes on which some process of ours holds range locks. */
  readonly locked = new Set<number>();
  /** Open directories whose end was seen: the cookie there, in halves. */
  readonly directoryEnds = new Map<number, { high: number; low: number }>();
  nextDirectory = 1;
  readonly memo = new Memo();
  readonly lookahead = new Lookahead((entry) => this.forget(entry.high, entry.low, 1));
  /** Policy of the root's file system (wire/constants.ts: Policy). */
  rootPolicy = 0;
  /** READs under way whose answer may be spliced. */
  bulkReads = 0;
  /** Whether frames wait that may wait for others: forgets and releases. */
  lazy = false;
  /** Grows only while the connection takes nothing. */
  #forgets = new Float64Array(FORGETS_GATHERED * FORGET_NUMBERS);
  #forgetCount = 0;
  /** Messages (operation, argument) that wait for the connection to take them. */
  #untold: number[] = [];

  constructor(
    fuse: FuseDevice,
    transport: Transport,
    slots: number,
    cache: CacheMode,
    validity: Validity,
    counters: Counters,
  ) {
    this.fuse = fuse;
    this.transport = transport;
    this.pending = new Pending(slots);
    this.cache = cache;
    this.validity = validity;
    this.counters = counters;
    this.payload = new Reader(transport.reader.bytes, transport.reader.view);
  }

  /** Policy a node was made with. */
  policyOf(high: number, low: number): number {
    return high === 0 && low === ROOT_NODE ? this.rootPolicy : nodePolicy(high);
  }

  /** Offset at which the body of an answer is built. */
  get answerBody(): number {
    return OUT_HEADER_SIZE;
  }

  /** A 32-bit field of the request's body. */
  u32(offset: number): number {
    return this.fuse.request.view.getUint32(IN_HEADER_SIZE + offset, true);
  }

  /** An unsigned 64-bit field as a number; what exceeds 2^53 loses its lowest bits. */
  u64(offset: number): number {
    const { view } = this.fuse.request;
    const at = IN_HEADER_SIZE + offset;
    return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
  }

  /** A signed 64-bit field. */
  i64(offset: number): number {
    const { view } = this.fuse.request;
    const at = IN_HEADER_SIZE + offset;
    return view.getInt32(at + 4, true) * TWO_32 + view.getUint32(at, true);
  }

  /** Length of the NUL-terminated text at `offset` of the body. */
  textLength(offset: number): number {
    const { bytes } = this.fuse.request;
    const start = IN_HEADER_SIZE + offset;
    const end = bytes.indexOf(0, start);
    return end - start;
  }

  /** Writes the text at `offset` of the body as a byte string. */
  putText(w: Writer, offset: number, length: number): void {
    const start = IN_HEADER_SIZE + offset;
    w.blob(this.fuse.request.bytes, start, start + length);
  }

  /** What we know of a node is about to change, or has just changed. */
  dropKnown(high: number, low: number): void {
    this.memo.drop(high, low);
    if (this.lookahead.active) this.lookahead.dropNode(high, low);
  }

  /** Writes the node of the request. */
  putNode(w: Writer): void {
    w.uint64(this.fuse.nodeHigh, this.fuse.nodeLow);
  }

  /** Writes a 64-bit field of the body. */
  put64(w: Writer, offset: number): void {
    const { view } = this.fuse.request;
    const at = IN_HEADER_SIZE + offset;
    w.uint64(view.getUint32(at + 4, true), view.getUint32(at, true));
  }

  /** Starts request `op` for the kernel's request; `first` and `second` are for its answer. */
  ask(op: number, first = 0, second = 0): Writer {
    const { fuse, pending } = this;
    const slot = pending.take();
    pending.state[slot] = State.ASKED;
    pending.opcode[slot] = fuse.opcode;
    pending.uniqueLow[slot] = fuse.uniqueLow;
    pending.uniqueHigh[slot] = fuse.uniqueHigh;
    pending.nodeLow[slot] = fuse.nodeLow;
    pending.nodeHigh[slot] = fuse.nodeHigh;
    pending.pid[slot] = fuse.pid;
    pending.first[slot] = first;
    pending.second[slot] = second;
    return this.#start(slot, op);
  }

  /** Starts request `op` of our own, about a node if one is given; nobody waits for its answer. */
  askForOurselves(op: number, high = 0, low = 0, first = 0): Writer {
    const { pending } = this;
    const slot = pending.take();
    pending.first[slot] = first;
    pending.state[slot] = State.OWN;
    pending.opcode[slot] = 0;
    pending.nodeHigh[slot] = high;
    pending.nodeLow[slot] = low;
    return this.#start(slot, op);
  }

  #start(slot: number, op: number): Writer {
    const { pending } = this;
    if (this.owes) this.sendOwed();
    pending.op[slot] = op;
    pending.startedNs[slot] = Bun.nanoseconds();
    const w = this.transport.begin(Kind.REQUEST);
    w.array(items[op] as number);
    w.uint(slot);
    w.uint(pending.sequence[slot] as number);
    w.uint(op);
    return w;
  }

  /** Sends the request started by `ask`. */
  send(): void {
    this.transport.end();
    this.lazy = false;
  }

  /** Sends it with `length` bytes at `offset` of the kernel's request as payload. */
  sendWith(offset: number, length: number): void {
    const { request } = this.fuse;
    if (length <= COPY_MAX) {
      this.transport.endCopy(request.bytes.subarray(offset, offset + length), length);
    } else {
      this.transport.endWith(request.address + offset, length);
    }
    this.lazy = false;
  }

  /** Sends a message that has no answer, with the next request or before sleeping. */
  tell(op: number, argument: number): void {
    if (this.transport.congested) {
      this.#untold.push(op, argument);
      return;
    }
    if (!this.transport.pending) this.lazy = true;
    const w = this.transport.begin(Kind.ONEWAY);
    w.array(2);
    w.uint(op);
    w.uint(argument);
    this.transport.end();
  }

  /** The kernel forgets `lookups` lookups of a node. */
  forget(high: number, low: number, lookups: number): void {
    this.locked.delete(high * TWO_32 + low);
    this.memo.drop(high, low);
    const at = this.#forgetCount * FORGET_NUMBERS;
    if (at === this.#forgets.length) {
      const more = new Float64Array(2 * at);
      more.set(this.#forgets);
      this.#forgets = more;
    }
    this.#forgets[at] = high;
    this.#forgets[at + 1] = low;
    this.#forgets[at + 2] = lookups;
    this.#forgetCount++;
    if (this.#forgetCount >= FORGETS_GATHERED) this.sendOwed();
  }

  /** Whether anything is to be told that has not been given to the connection. */
  get owes(): boolean {
    return this.#forgetCount > 0 || this.#untold.length > 0;
  }

  /** Gives the connection what has gathered, as far as it takes it. */
  sendOwed(): void {
    while (this.#untold.length > 0 && !this.transport.congested) {
      const argument = this.#untold.pop() as number;
      this.tell(this.#untold.pop() as number, argument);
    }
    while (this.#forgetCount > 0 && !this.transport.congested) this.#sendForgets();
  }

  #sendForgets(): void {
    const forgets = this.#forgets;
    const count = Math.min(this.#forgetCount, FORGETS_GATHERED);
    if (!this.transport.pending) this.lazy = true;
    const w = this.transport.begin(Kind.ONEWAY);
    w.array(2 + 2 * count);
    w.uint(Oneway.FORGET);
    w.uint(count);
    for (let i = 0; i < count; i++) {
      const at = --this.#forgetCount * FORGET_NUMBERS;
      w.uint64(forgets[at] as number, forgets[at + 1] as number);
      w.uint(forgets[at + 2] as number);
    }
    this.transport.end();
  }

  /** Answers the kernel's request at once, with an errno or plain success (0). */
  answerNow(errno: number): void {
    this.fuse.replyErrno(this.fuse.uniqueLow, this.fuse.uniqueHigh, errno);
  }

  /** Answers the kernel's request at once, with `bytes` built in the answer's body. */
  answerBodyNow(bytes: number): void {
    this.fuse.reply(this.fuse.uniqueLow, this.fuse.uniqueHigh, bytes);
  }

  /** Answers the request of `slot` with `bytes` built in the answer's body. */
  answer(slot: number, bytes: number): void {
    const { pending } = this;
    this.fuse.reply(pending.uniqueLow[slot] as number, pending.uniqueHigh[slot] as number, bytes);
  }

  /** Answers the request of `slot` with an errno or plain success. */
  answerErrno(slot: number, errno: number): void {
    const { pending } = this;
    this.fuse.replyErrno(
      pending.uniqueLow[slot] as number,
      pending.uniqueHigh[slot] as number,
      errno,
    );
  }

  /** Answers the request of `slot` with the payload of the server's answer. */
  answerPayload(slot: number, max: number): void {
    const { pending, transport } = this;
    if (transport.payloadLength > max)
      throw new ProtocolError("answer has more data than asked for");
    this.fuse.replyData(
      pending.uniqueLow[slot] as number,
      pending.uniqueHigh[slot] as number,
      transport.payloadAddress,
      transport.payloadLength,
    );
  }

  /** Reads the attributes of the directory that the request of `slot` changed. */
  readDirectoryHere(slot: number): void {
    const { nodeHigh, nodeLow } = this.pending;
    this.memo.readDirectory(
      nodeHigh[slot] as number,
      nodeLow[slot] as number,
      this.transport.reader,
    );
  }

  /** Writes an entry whose node and attributes are next in the server's answer. */
  putEntryHere(at: number): number {
    const { reader } = this.transport;
    reader.uint64();
    const { high, low } = reader;
    if (high === 0 && low === 0) throw new ProtocolError("entry has no node");
    this.readAttributesHere(reader);
    return putEntry(this.fuse.answer.view, at, high, low, this.attributes, this.validity);
  }

  /** Writes an entry for a node the kernel has, from `attributes`. */
  putKnownEntry(high: number, low: number): number {
    const { view } = this.fuse.answer;
    return putEntry(view, OUT_HEADER_SIZE, high, low, this.attributes, this.validity);
  }

  /** Writes the attributes that are in `attributes` as struct fuse_attr_out. */
  putAttributesHere(): number {
    return putAttrOut(this.fuse.answer.view, OUT_HEADER_SIZE, this.attributes, this.validity);
  }

  /** Reads the attributes that are next in an answer. */
  readAttributesHere(reader: Reader): void {
    readAttributes(reader, this.attributes);
  }
}
