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
import { ARGUMENTS, changesSomething, OP_COUNT, Op } from "../wire/ops.ts";
import { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";
import { distrustName, putAttrOut, putEntry, type Validity } from "./answers.ts";
import { BULK_MIN } from "./bulk.ts";
import type { FileSystemFigures } from "./filesystems.ts";
import { Forgets } from "./forgets.ts";
import { LockedNodes } from "./locked.ts";
import { Lookahead } from "./lookahead.ts";
import { LookedUpNodes } from "./lookedup.ts";
import { Losers } from "./losers.ts";
import { Memo } from "./memo.ts";
import { Oneways } from "./oneways.ts";
import { Pending, RESENT_BIT, State } from "./pending.ts";
import { VIEW_LOW } from "./proc/nodes.ts";
import type { ProcView } from "./proc/view.ts";
import { ClientRecord, Head } from "./record.ts";
import { Retained } from "./retained.ts";
import type { Twins } from "./twins/twins.ts";
import type { Ghosts } from "./watches/ghosts.ts";
import type { Watches } from "./watches/watches.ts";

const TWO_32 = 0x1_0000_0000;
const items = Uint8Array.from({ length: OP_COUNT }, (_, op) => (ARGUMENTS[op] ?? 0) + 3);
/** Operations after which attributes that were told before are old; an OPEN only if it truncates. */
const NOT_ATTRIBUTES: ReadonlySet<number> = new Set([Op.OPEN, Op.SETLK, Op.FLOCK, Op.UNLOCK]);
const alters = Uint8Array.from({ length: OP_COUNT }, (_, op) =>
  changesSomething(op) && !NOT_ATTRIBUTES.has(op) ? 1 : 0,
);

/** Payloads up to this are copied next to their header rather than gathered. */
const COPY_MAX = 16 * 1024;

/** Caching as mounted. */
export type CacheMode = "never" | "auto" | "always";

export class Client {
  readonly fuse: FuseDevice;
  /** The present connection; closed while there is none. */
  transport: Transport;
  readonly record: ClientRecord;
  readonly pending: Pending;
  readonly retained: Retained;
  readonly oneways: Oneways;
  readonly counters: Counters;
  readonly cache: CacheMode;
  readonly validity: Validity;
  readonly attributes: Attributes = emptyAttributes();
  /** Reads a payload that is itself CBOR. */
  payload: Reader;
  readonly locked: LockedNodes;
  /** Numbers, in halves, under which the kernel waits to be told that a file is ready. */
  readonly polled = new Map<number, readonly [high: number, low: number]>();
  /** Open directories whose end was seen: the cookie there, in halves. */
  readonly directoryEnds = new Map<number, { high: number; low: number }>();
  /** Called when the server tells of a file system of its own. */
  fileSystemMet: (met: FileSystemFigures) => void = () => {};
  readonly memo = new Memo();
  /** Files that have lost a name of late. */
  readonly losers = new Losers();
  readonly lookedUp = new LookedUpNodes();
  readonly lookahead = new Lookahead((entry) => this.forget(entry.high, entry.low, 1));
  /** Whether symbolic links that could lead out of the mount are refused. */
  containsLinks = false;
  /** What of a HOST's /proc is this machine's; undefined without -o proc. */
  view: ProcView | undefined;
  /** Slot whose request is forwarded once more, or -1; false in `replayed` until it was asked. */
  replaying = -1;
  replayed = false;
  /** Whether one-way messages stay here for the time being: there is no connection to give them to. */
  holds = false;
  /** READs under way whose answer may be spliced. */
  bulkReads = 0;
  /** Whether frames wait that may wait for others: forgets and releases. */
  lazy = false;
  /** What programs watch (inotify), and what is done for them; absent where nobody can look. */
  watches: Watches | undefined;
  ghosts: Ghosts | undefined;
  /** The HOST's sockets and FIFOs as they are served here; absent where that is not allowed. */
  twins: Twins | undefined;
  readonly #forgets = new Forgets();
  /** Whether a sign was asked for that the server has the one-way messages. */
  #signAsked = false;

  constructor(
    fuse: FuseDevice,
    transport: Transport,
    slots: number,
    cache: CacheMode,
    validity: Validity,
    counters: Counters,
    record = new ClientRecord(),
  ) {
    this.fuse = fuse;
    this.transport = transport;
    this.record = record;
    this.pending = new Pending(slots, record);
    this.retained = new Retained(record, fuse);
    this.oneways = new Oneways(record);
    this.locked = new LockedNodes(record);
    this.cache = cache;
    this.validity = validity;
    this.counters = counters;
    this.payload = new Reader(transport.reader.bytes, transport.reader.view);
  }

  /** Goes on with another connection. */
  connect(transport: Transport): void {
    this.transport = transport;
    this.payload = new Reader(transport.reader.bytes, transport.reader.view);
    this.bulkReads = this.#abandonedReads();
    this.lazy = false;
    this.#signAsked = false;
  }

  /** Large READs that are not asked again; the others are counted when they are. */
  #abandonedReads(): number {
    const { pending } = this;
    const { first, op, state } = pending;
    return pending
      .inOrder()
      .filter((slot) => op[slot] === Op.READ && (first[slot] as number) >= BULK_MIN)
      .filter((slot) => state[slot] !== State.ASKED).length;
  }

  /** A new session begins: nothing that the old one knew means anything to it. */
  forgetSession(): void {
    this.lookahead.clear();
    this.memo.clear();
    this.losers.clear();
    this.lookedUp.clear();
    this.locked.clear();
    this.directoryEnds.clear();
    this.#forgets.clear();
    this.bulkReads = 0;
    this.oneways.reset();
  }

  /** Policy a node was made with. */
  policyOf(high: number, low: number): number {
    const isRoot = high === 0 && low === ROOT_NODE;
    return isRoot ? this.record.get(Head.ROOT_POLICY) : nodePolicy(high);
  }

  /** A number for a directory that is opened. */
  nextDirectory(): number {
    const id = (this.record.get(Head.NEXT_DIRECTORY) % 0xffff_ffff) + 1;
    this.record.set(Head.NEXT_DIRECTORY, id);
    return id;
  }

  /** Whether another request of the kernel may be forwarded. */
  get hasRoom(): boolean {
    return (
      !this.holds &&
      this.pending.hasRoom &&
      !this.transport.congested &&
      this.retained.hasRoom &&
      this.oneways.hasRoom
    );
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
    this.lookedUp.drop(high, low);
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
    if (this.replaying >= 0) {
      this.replayed = true;
      pending.first[this.replaying] = first;
      pending.second[this.replaying] = second;
      return this.#start(this.replaying, op);
    }
    if (this.owes) this.sendOwed();
    const slot = pending.take();
    this.retained.keep(slot);
    pending.opcode[slot] = fuse.opcode;
    pending.op[slot] = op;
    pending.uniqueLow[slot] = fuse.uniqueLow;
    pending.uniqueHigh[slot] = fuse.uniqueHigh;
    pending.nodeLow[slot] = fuse.nodeLow;
    pending.nodeHigh[slot] = fuse.nodeHigh;
    pending.pid[slot] = fuse.pid;
    pending.first[slot] = first;
    pending.second[slot] = second;
    pending.startedNs[slot] = Bun.nanoseconds();
    pending.state[slot] = State.ASKED;
    return this.#start(slot, op);
  }

  /** Starts request `op` of our own, about a node if one is given: see `pending.last` for its slot. */
  askForOurselves(op: number, high = 0, low = 0, first = 0): Writer {
    const { pending } = this;
    const slot = pending.take();
    pending.op[slot] = op;
    pending.first[slot] = first;
    pending.nodeHigh[slot] = high;
    pending.nodeLow[slot] = low;
    pending.startedNs[slot] = Bun.nanoseconds();
    return this.#start(slot, op);
  }

  /** Sends request `op` of our own, which takes one number; its slot. */
  askOwn(op: number, argument: number): number {
    const { pending } = this;
    const slot = pending.take();
    pending.op[slot] = op;
    pending.first[slot] = 0;
    pending.startedNs[slot] = Bun.nanoseconds();
    this.#start(slot, op).uint(argument);
    this.send();
    return slot;
  }

  #start(slot: number, op: number): Writer {
    const { pending } = this;
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
    this.retained.settle();
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
    this.retained.settle();
  }

  /** The request of `slot` is over, and its slot free. */
  finish(slot: number): void {
    this.oneways.got(this.pending.onewaysBefore[slot] as number);
    const op = this.pending.op[slot] as number;
    if (op === Op.PING) this.#signAsked = false;
    else if (alters[op] === 1) this.lookedUp.clear();
    this.retained.release(slot);
    this.pending.release(slot);
  }

  /** Sends a message that has no answer, with the next request or before sleeping. */
  tell(op: number, argument: number): void {
    this.#putMessage(op, argument);
    this.oneways.end();
    this.#sendOneways();
  }

  /**
   * The same as what the kernel's request is answered with: when that is sent
   * again because its answer was lost with our process, the message is not.
   */
  tellOnce(op: number, argument: number): void {
    const { uniqueLow } = this.fuse;
    const uniqueHigh = (this.fuse.uniqueHigh & ~RESENT_BIT) >>> 0;
    if (this.oneways.isFor(uniqueLow, uniqueHigh)) return;
    this.#putMessage(op, argument);
    this.oneways.endFor(uniqueLow, uniqueHigh);
    this.#sendOneways();
  }

  #putMessage(op: number, argument: number): void {
    const w = this.oneways.begin();
    w.array(2);
    w.uint(op);
    w.uint(argument);
  }

  /** Gives the connection the one-way messages up to number `until`, as far as it takes them. */
  sendOneways(until: number): void {
    const { oneways, transport } = this;
    while (oneways.waiting && oneways.sent < until && !transport.congested) {
      if (!transport.pending) this.lazy = true;
      oneways.send(transport.begin(Kind.ONEWAY));
      transport.end();
    }
  }

  #sendOneways(): void {
    if (!this.holds) this.sendOneways(Number.POSITIVE_INFINITY);
  }

  /** The kernel forgets `lookups` lookups of a node, or we do that never told it of them. */
  forget(high: number, low: number, lookups: number): void {
    if (low >= VIEW_LOW) return;
    this.memo.drop(high, low);
    this.#forgets.add(high, low, lookups);
    if (this.#forgets.isMessage && !this.holds) this.sendOwed();
  }

  /** The kernel is given a node by an answer that the server has not counted as a lookup. */
  uncounted(high: number, low: number): void {
    this.#forgets.uncounted(high, low);
  }

  /** Whether anything is to be told that has not been given to the connection. */
  get owes(): boolean {
    return !this.#forgets.isEmpty || this.oneways.waiting;
  }

  /** Gives the connection what has gathered, as far as it takes it; whether it took anything. */
  sendOwed(): boolean {
    if (this.holds) return false;
    const { sent } = this.oneways;
    this.#sendOneways();
    while (!this.#forgets.isEmpty && !this.transport.congested && this.oneways.hasRoomForForgets) {
      this.#forgets.take(this.oneways.begin());
      this.oneways.end();
      this.#sendOneways();
    }
    if (this.oneways.wantsSign && !this.#signAsked && this.hasSlot) {
      this.#signAsked = true;
      this.askForOurselves(Op.PING);
      this.send();
    }
    return this.oneways.sent !== sent;
  }

  /** Whether a request of our own can be sent. */
  get hasSlot(): boolean {
    return !this.holds && this.pending.hasRoom && !this.transport.congested;
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
  putEntryHere(at: number, slot: number): number {
    const { reader } = this.transport;
    reader.uint64();
    const { high, low } = reader;
    if (high === 0 && low === 0) throw new ProtocolError("entry has no node");
    this.readAttributesHere(reader);
    return this.putEntryAt(at, slot, high, low);
  }

  /** Writes an entry at `at` for the request of `slot`, from `attributes`. */
  putEntryAt(at: number, slot: number, high: number, low: number): number {
    const { attributes, fuse, losers, pending, validity } = this;
    if (!losers.active) return putEntry(fuse.answer.view, at, high, low, attributes, validity);
    const isLoser = losers.correct(pending.order[slot] as number, high, low, attributes);
    const bytes = putEntry(fuse.answer.view, at, high, low, attributes, validity);
    if (isLoser) distrustName(fuse.answer.view, at);
    return bytes;
  }

  /** Corrects `attributes`, which are about the node of the request of `slot`. */
  correctAttributes(slot: number): void {
    const { attributes, losers, pending } = this;
    if (!losers.active) return;
    const { nodeHigh, nodeLow, order } = pending;
    const [high, low] = [nodeHigh[slot] as number, nodeLow[slot] as number];
    losers.correct(order[slot] as number, high, low, attributes);
  }

  /** Reads which node has lost a name and has others, next in the server's answer. */
  readLoserHere(): void {
    const { reader } = this.transport;
    reader.uint64();
    if (reader.high === 0 && reader.low === 0) return;
    if (this.lookahead.active) this.lookahead.dropNode(reader.high, reader.low);
    this.losers.note(this.record.get(Head.ASKED), reader.high, reader.low);
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
