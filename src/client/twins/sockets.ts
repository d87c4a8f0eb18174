/**
 * Sockets of the HOST on the mount, for the mount's thread. Where somebody on the HOST
 * listens, who looks the name up waits until the twin process listens in its place; where a
 * process here has bound the socket, the kernel does the rest.
 */
import { ENTRY_OUT, IN_HEADER_SIZE, LINK_IN_SIZE, MKNOD_IN_SIZE } from "../../fuse/protocol.ts";
import { type Attributes, emptyAttributes } from "../../wire/attributes.ts";
import { FileType } from "../../wire/constants.ts";
import { Op } from "../../wire/ops.ts";
import type { Client } from "../client.ts";
import { boundType } from "./bindtype.ts";
import type { FromTwins, Node } from "./channel.ts";
import { onlyLooks } from "./looking.ts";
import { type Owned, OwnedSockets } from "./owned.ts";
import type { Parked, Unique } from "./parked.ts";
import { type Served, ServedSockets, Stage } from "./served.ts";
import type { Twins } from "./twins.ts";

/** What the kernel calls the root of each superblock. */
const KERNEL_ROOT: Node = [0, 1];

export class TwinSockets {
  readonly #client: Client;
  readonly #twins: Twins;
  readonly #served = new ServedSockets();
  readonly #owned = new OwnedSockets();

  constructor(client: Client, twins: Twins) {
    this.#client = client;
    this.#twins = twins;
  }

  /** What the kernel was told of a node that is served or was bound here. */
  attributesOf(node: Node): Attributes | undefined {
    return this.#served.of(node)?.attributes ?? this.#owned.of(node)?.attributes;
  }

  /**
   * The answer to the LOOKUP of `slot`, `length` bytes in the answer's body, is about to be
   * given, and what it says is in `attributes`. True if it is given from here.
   */
  looked(slot: number, length: number): boolean {
    const c = this.#client;
    const { attributes } = c;
    if ((attributes.mode & FileType.MASK) !== FileType.SOCKET || !this.#twins.isUsable)
      return false;
    const node = this.#entryNode();
    const owned = this.#owned.of(node);
    if (owned !== undefined) {
      this.#owned.describe(owned, attributes);
      c.answer(slot, length);
      const { parent, name } = this.#placeOf(slot, 0);
      this.#owned.found(owned, parent, name);
      this.#dropSoon(owned);
      return true;
    }
    if (this.#twins.isTwin(c.pending.pid[slot] as number)) return false;
    const forgotten = this.#owned.ofInode(this.#twins.channelOf(slot), attributes);
    if (forgotten !== undefined && attributes.rdev !== 0) {
      return this.#isEnding(slot, length, node, forgotten);
    }
    return attributes.rdev === 0
      ? this.#isDead(slot, length, node)
      : this.#isAlive(slot, length, node);
  }

  /** The node of the entry in the answer's body. */
  #entryNode(): Node {
    const { answerBody, fuse } = this.#client;
    const at = answerBody + ENTRY_OUT.nodeid;
    return [fuse.answer.view.getUint32(at + 4, true), fuse.answer.view.getUint32(at, true)];
  }

  /** Where the request of `slot` has its name, which begins at `offset` of the body. */
  #placeOf(slot: number, offset: number): { parent: Node; name: string } {
    const c = this.#client;
    const { nodeHigh, nodeLow } = c.pending;
    const parent: Node = [nodeHigh[slot] as number, nodeLow[slot] as number];
    let name = "";
    c.retained.replay(slot, () => {
      const start = IN_HEADER_SIZE + offset;
      name = c.fuse.request.bytes.latin1Slice(start, start + c.textLength(offset));
    });
    return { parent, name };
  }

  /** Nobody listens on the HOST: nobody may here. */
  #isDead(slot: number, length: number, node: Node): boolean {
    const served = this.#served.of(node);
    if (served === undefined) return false;
    if (!this.#park(slot, length, served)) return false;
    if (served.stage !== Stage.CLOSING) {
      served.stage = Stage.CLOSING;
      this.#twins.send({ kind: "unserve", node });
    }
    return true;
  }

  /**
   * The kernel has forgotten the inode that was bound here, so its socket is gone, and the HOST's
   * is about to be: who looks it up asks again then.
   */
  #isEnding(slot: number, length: number, [high, low]: Node, owned: Owned): boolean {
    const c = this.#client;
    const parked = this.#twins.parked.park(slot, length, () => c.forget(high, low, 1));
    if (parked === undefined) return false;
    owned.waiting.push(parked);
    this.#twins.send({ kind: "check", node: owned.node });
    return true;
  }

  #isAlive(slot: number, length: number, node: Node): boolean {
    const { attributes } = this.#client;
    let served = this.#served.of(node);
    if (served?.stage === Stage.OPEN && served.type === attributes.rdev) {
      served.attributes = Object.assign(served.attributes ?? emptyAttributes(), attributes);
      return false;
    }
    if (served?.stage === Stage.OPEN) {
      // It was taken for another before.
      served.type = attributes.rdev;
      served.stage = Stage.OPENING;
      this.#serve(served);
    }
    if (served === undefined) {
      if (onlyLooks(this.#client.pending.pid[slot] as number)) return false;
      served = this.#begin(slot, node);
      if (served === undefined) return false;
    }
    return this.#park(slot, length, served);
  }

  /** Has the twin process listen. */
  #begin(slot: number, node: Node): Served | undefined {
    const { attributes } = this.#client;
    const { parent, name } = this.#placeOf(slot, 0);
    const channel = this.#twins.channelOf(slot);
    const served: Served = {
      node,
      channel,
      type: attributes.rdev,
      stage: Stage.OPENING,
      attributes: Object.assign(emptyAttributes(), attributes),
      parent,
      // A magic link's name stands for where it leads, which has another here or none.
      name: this.#client.pending.op[slot] === Op.FOLLOW ? "socket" : name,
      waiting: [],
      asking: [],
    };
    if (!this.#served.add(served)) return undefined;
    this.#serve(served);
    return served;
  }

  #serve({ node, channel, type, parent, name, attributes }: Served): void {
    const { uid = 0, gid = 0 } = attributes ?? {};
    const directory = this.#isRoot(channel, parent) ? KERNEL_ROOT : parent;
    this.#twins.send({ kind: "serve", channel, node, parent: directory, name, type, uid, gid });
  }

  #isRoot(channel: number, [high, low]: Node): boolean {
    return this.#client.fuse.channels.isRoot(channel, high, low);
  }

  /**
   * The twin process cannot get on. Who looks up a name has its directory locked, shared; as
   * soon as anybody else wants to change that (or we tell the kernel to forget a name there), a
   * further lookup waits, and that of the hidden directory is one, in the root. So those who
   * wait there are answered, and wait when they are asked for their permissions (`asked`).
   */
  makeWay(): void {
    for (const served of this.#served.all()) {
      const { channel, parent, stage } = served;
      if (stage !== Stage.OPENING || this.#twins.door.isEntered(channel)) continue;
      if (this.#isRoot(channel, parent)) this.#answer(served.waiting.splice(0));
    }
  }

  /**
   * The answer to a GETATTR of `node` by thread `tid`, `length` bytes in the answer's body, is
   * about to be given: before connect(2), among others. True if it is given later.
   */
  asked(unique: Unique, tid: number, node: Node, length: number): boolean {
    if (this.#served.count === 0 || tid === 0) return false;
    const served = this.#served.of(node);
    if (served?.stage !== Stage.OPENING || this.#twins.isTwin(tid)) return false;
    const parked = this.#twins.parked.parkFor(unique, tid, length, () => {});
    if (parked === undefined) return false;
    served.asking.push(parked);
    return true;
  }

  #park(slot: number, length: number, served: Served): boolean {
    const c = this.#client;
    const [high, low] = served.node;
    const parked = this.#twins.parked.park(slot, length, () => c.forget(high, low, 1));
    if (parked === undefined) return false;
    served.waiting.push(parked);
    return true;
  }

  #release(served: Served): void {
    this.#answer([...served.waiting.splice(0), ...served.asking.splice(0)]);
  }

  #answer(all: readonly Parked[]): void {
    for (const parked of all) this.#twins.parked.answer(parked);
  }

  /** Takes what the twin process says of sockets. */
  hear(message: FromTwins): void {
    switch (message.kind) {
      case "served":
        this.#nowServed(message);
        break;
      case "unserved":
        this.#nowUnserved(message.node);
        break;
      case "owned":
        this.#nowOwned(message);
        break;
      case "disowned":
        this.#nowDisowned(message.node);
        break;
    }
  }

  #nowServed({ node, channel, type, errno }: Extract<FromTwins, { kind: "served" }>): void {
    let served = this.#served.of(node);
    if (errno !== 0) {
      this.#served.remove(node);
    } else if (served === undefined) {
      const parts = { node, channel, type, stage: Stage.OPEN, attributes: undefined };
      served = { ...parts, parent: KERNEL_ROOT, name: "", waiting: [], asking: [] };
      this.#served.add(served);
    } else if (served.stage === Stage.OPENING) {
      served.stage = Stage.OPEN;
      served.type = type;
    }
    if (served !== undefined && served.stage !== Stage.CLOSING) this.#release(served);
  }

  #nowUnserved(node: Node): void {
    const served = this.#served.of(node);
    if (served === undefined) return;
    this.#served.remove(node);
    this.#release(served);
  }

  #nowDisowned(node: Node): void {
    const owned = this.#owned.of(node);
    this.#owned.remove(node);
    for (const parked of owned?.waiting ?? []) this.#twins.parked.askAgain(parked);
  }

  /** A process that died has had it bound. */
  #nowOwned({ node, channel, type, key }: Extract<FromTwins, { kind: "owned" }>): void {
    const known = this.#owned.of(node);
    if (known !== undefined) {
      known.key = key;
      return;
    }
    const served = this.#served.of(node);
    this.#served.remove(node);
    if (served !== undefined) this.#release(served);
    const place = { parent: served?.parent ?? KERNEL_ROOT, name: served?.name ?? "" };
    this.#owned.add({ node, channel, type, key, attributes: undefined, waiting: [], ...place });
  }

  /** SOCK_* of the socket that is bound by the MKNOD in the device's buffer; 0 if none is. */
  bindType(): number {
    const { fuse, pending, replaying } = this.#client;
    if (!this.#twins.isUsable) return 0;
    if (replaying < 0) return boundType(fuse.pid);
    return pending.op[replaying] === Op.SOCKET_BIND ? (pending.first[replaying] as number) : 0;
  }

  /**
   * The socket of the request of `slot` is bound on the HOST as well, and was told to the
   * kernel; the HOST's key of it is next in the answer.
   */
  bound(slot: number, node: Node, attributes: Attributes): void {
    const c = this.#client;
    const key = c.transport.reader.uint();
    const type = c.pending.first[slot] as number;
    const channel = this.#twins.channelOf(slot);
    const place = this.#placeOf(slot, MKNOD_IN_SIZE);
    const own = Object.assign(emptyAttributes(), attributes);
    this.#owned.add({ node, channel, type, key, attributes: own, waiting: [], ...place });
    this.#twins.send({ kind: "own", channel, node, type, key, name: place.name });
  }

  /** The kernel has been told of a name, by the answer to the request of `slot`. */
  told(slot: number): void {
    const { op } = this.#client.pending;
    if (op[slot] === Op.SOCKET_BIND) {
      // At once: it is the name that the socket itself keeps.
      const { parent, name } = this.#placeOf(slot, MKNOD_IN_SIZE);
      this.#twins.dropName(this.#twins.channelOf(slot), parent, name);
    } else if (op[slot] === Op.LINK && this.#owned.count > 0) {
      const owned = this.#owned.of(this.#entryNode());
      if (owned !== undefined) this.#dropSoon({ ...owned, ...this.#placeOf(slot, LINK_IN_SIZE) });
    }
  }

  /** A name has moved. */
  renamed(from: Node, name: string, to: Node, toName: string): void {
    const owned = this.#owned.at(from, name);
    if (owned === undefined) return;
    this.#owned.found(owned, to, toName);
    this.#dropSoon(owned);
  }

  /** Whether a rename may concern any. */
  get hasOwned(): boolean {
    return this.#owned.count > 0;
  }

  #dropSoon({ channel, node, parent, name }: Owned): void {
    this.#twins.dropNameSoon(channel, node, parent, name);
  }

  /** The kernel has forgotten lookups of a node. */
  forgotten(high: number, low: number): void {
    if (this.#owned.count === 0) return;
    if (this.#owned.of([high, low]) !== undefined) {
      this.#twins.send({ kind: "check", node: [high, low] });
    }
  }

  /** The twin process has ended, and everything that it served: see `begunAnew`. */
  lost(): void {
    // The server lets go of all keys.
    for (const owned of this.#owned.all()) owned.key = 0;
    for (const served of this.#served.all()) {
      if (served.stage === Stage.CLOSING) this.#release(served);
      if (served.waiting.length + served.asking.length === 0) this.#served.remove(served.node);
      else served.stage = Stage.OPENING;
    }
  }

  /** There is to be another one. */
  begunAnew(): void {
    for (const served of this.#served.all()) this.#serve(served);
    for (const { channel, node, type, key, name } of this.#owned.all()) {
      this.#twins.send({ kind: "own", channel, node, type, key, name });
      // It may have gone meanwhile, which the kernel says once.
      this.#twins.send({ kind: "check", node });
    }
  }

  /** There will be no other one. */
  giveUp(): void {
    for (const served of this.#served.all()) this.#release(served);
    for (const { node } of this.#owned.all()) this.#nowDisowned(node);
    this.#served.clear();
  }

  /** The session is another: no node means what it did. */
  forget(): void {
    this.#served.clear();
    this.#owned.clear();
  }
}
