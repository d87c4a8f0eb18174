/**
 * The HOST's mounts below the directory that is mounted, as the mount's thread sees
 * them: it asks the server which there are and for their roots, and reads the channels
 * of their superblocks. Which superblocks there are is main's to decide (submounts.ts).
 */
import { CHANNELS_MAX } from "../../fuse/channels.ts";
import { E } from "../../sys/errno.ts";
import { FileType } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { MOUNTS_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import type { Client } from "../client.ts";
import type { KeptChannel } from "./channelstore.ts";
import { type HostMount, readHostMount } from "./hostmount.ts";
import { type Order, OrderKind, type Orders } from "./orders.ts";

/** What main is told. */
export type HostMountNews =
  | { kind: "mounts"; mounts: HostMount[] }
  /** The channel is read from now on; its root. */
  | { kind: "rooted"; channel: number; high: number; low: number }
  /** The server has no such mount any more. */
  | { kind: "rootless"; channel: number }
  /** The superblock has been unmounted here. */
  | { kind: "ended"; channel: number }
  /** The channel is read no more, as main wanted: its descriptor is of no use. */
  | { kind: "closed"; channel: number };

interface Question {
  op: number;
  /** Channel that it is about; 0 for none. */
  channel: number;
  /** The HOST's mount, or where the list goes on. */
  argument: number;
}

export class HostMounts {
  readonly #client: Client;
  readonly #splits: boolean;
  readonly #orders: Orders;
  readonly #tell: (news: HostMountNews) => void;
  /** The HOST's mount of each channel, and its descriptor. */
  readonly #channels = new Map<number, { mount: number; fd: number }>();
  readonly #channelOf = new Map<number, number>();
  /** What the server is to be asked. */
  #questions: Question[] = [];
  /** Questions that were asked, by slot. */
  readonly #asked = new Map<number, Question>();
  #list: HostMount[] = [];

  /** `splits`: whether there are to be superblocks beside the first at all. */
  constructor(
    client: Client,
    splits: boolean,
    orders: Orders,
    tell: (news: HostMountNews) => void,
  ) {
    this.#client = client;
    this.#splits = splits;
    this.#orders = orders;
    this.#tell = tell;
  }

  /** Goes on with the superblocks that another process has left. */
  adopt(kept: readonly KeptChannel[]): void {
    for (const { channel, fuseFd: fd, host, high, low } of kept) {
      this.#channels.set(channel, { mount: host.mount, fd });
      this.#channelOf.set(host.mount, channel);
      this.#client.fuse.channels.open(channel, fd, high, low);
    }
  }

  /** Channel of a mount of the HOST; undefined while it has none here. */
  channelOf(mount: number): number | undefined {
    return mount === 0 ? 0 : this.#channelOf.get(mount);
  }

  /** The HOST's mounts may be others than were told. */
  changed(): void {
    if (!this.#splits) return;
    if (this.#questions.some(({ op }) => op === Op.MOUNTS)) return;
    this.#questions.push({ op: Op.MOUNTS, channel: 0, argument: 0 });
  }

  /** The connection is another: what was asked on the one before is asked again. */
  resumed(): void {
    this.#questions = [...this.#asked.values(), ...this.#questions].filter(
      ({ op }) => op !== Op.MOUNTS,
    );
    this.#list = [];
    this.#asked.clear();
    this.changed();
  }

  /** The session is another: it knows none of the roots. */
  begunAnew(): void {
    this.#asked.clear();
    this.#questions = [];
    this.#list = [];
    for (const [channel, { mount }] of this.#channels) {
      this.#client.fuse.channels.pause(channel);
      this.#questions.push({ op: Op.MOUNT_ROOT, channel, argument: mount });
    }
    this.changed();
  }

  /** Does what main wants, and asks what there is to be asked; true if there was anything. */
  step(): boolean {
    let any = false;
    if (this.#orders.any) {
      any = true;
      for (let one = this.#orders.take(); one !== undefined; one = this.#orders.take()) {
        this.#obey(one);
      }
    }
    const { ended } = this.#client.fuse.channels;
    for (let channel = ended.pop(); channel !== undefined; channel = ended.pop()) {
      this.#tell({ kind: "ended", channel });
    }
    while (this.#questions.length > 0 && this.#client.hasSlot) {
      this.#ask(this.#questions.shift() as Question);
      any = true;
    }
    return any;
  }

  /** Whether there is anything to ask. */
  get asks(): boolean {
    return this.#questions.length > 0;
  }

  /** Takes the server's answer to what was asked in `slot`; true if it was one of these questions. */
  answer(slot: number, errno: number): boolean {
    const question = this.#asked.get(slot);
    if (question === undefined) return false;
    if (question.op === Op.MOUNTS) this.#answerMounts(errno);
    else if (question.op === Op.MOUNT_ROOT) this.#answerRoot(question, errno);
    // Not before: an answer that was not understood is asked for on another connection.
    this.#asked.delete(slot);
    return true;
  }

  #obey({ kind, channel, fd, mount }: Order): void {
    const { channels } = this.#client.fuse;
    if (kind === OrderKind.TWINS) {
      this.#client.twins?.renew(fd);
      return;
    }
    if (kind === OrderKind.OPEN) {
      this.#channels.set(channel, { mount, fd });
      this.#channelOf.set(mount, channel);
      this.#questions.push({ op: Op.MOUNT_ROOT, channel, argument: mount });
      return;
    }
    const known = this.#channels.get(channel);
    channels.close(channel);
    this.#tell({ kind: "closed", channel });
    this.#channels.delete(channel);
    if (known === undefined) return;
    if (this.#channelOf.get(known.mount) === channel) this.#channelOf.delete(known.mount);
    // One that has moved on the HOST has another superblock by now, which needs its nodes.
    if (this.#channelOf.has(known.mount)) return;
    this.#questions.push({ op: Op.MOUNT_END, channel: 0, argument: known.mount });
  }

  #ask(question: Question): void {
    const c = this.#client;
    const slot = c.askOwn(question.op, question.argument);
    this.#asked.set(slot, question);
  }

  #answerMounts(errno: number): void {
    // Answered early because the connection was lost: it is asked again.
    if (errno !== 0) {
      this.changed();
      return;
    }
    const { reader, payloadStart, payloadLength } = this.#client.transport;
    const { payload } = this.#client;
    reader.uint64();
    const next = reader.uint32();
    reader.finish();
    payload.window(payloadStart, payloadStart + payloadLength);
    while (payload.at < payload.end) this.#list.push(readHostMount(payload));
    if (this.#list.length > MOUNTS_MAX) throw new ProtocolError("more mounts than there may be");
    if (next !== 0) {
      if (next <= this.#list.length - 1) throw new ProtocolError("the list of mounts goes back");
      this.#questions.unshift({ op: Op.MOUNTS, channel: 0, argument: next });
      return;
    }
    this.#tell({ kind: "mounts", mounts: this.#list });
    this.#list = [];
  }

  #answerRoot(question: Question, errno: number): void {
    const { channel, argument } = question;
    const known = this.#channels.get(channel);
    if (errno === E.ENOENT || errno === E.ESTALE) {
      if (known !== undefined) this.#tell({ kind: "rootless", channel });
      return;
    }
    if (errno !== 0) {
      if (known !== undefined) this.#questions.push(question);
      return;
    }
    const { reader } = this.#client.transport;
    reader.uint64();
    const { high, low } = reader;
    if (low === 0) throw new ProtocolError("the root of a mount has no node");
    this.#client.readAttributesHere(reader);
    reader.finish();
    if (known === undefined || known.mount !== argument) return;
    if ((this.#client.attributes.mode & FileType.MASK) === FileType.SYMLINK) {
      throw new ProtocolError("the root of a mount is a symbolic link");
    }
    this.#client.fuse.channels.open(channel, known.fd, high, low);
    this.#tell({ kind: "rooted", channel, high, low });
  }
}

/** The most superblocks that there are beside the first: not more than the HOST may have mounts. */
export const SUBMOUNTS_MAX = Math.min(MOUNTS_MAX, CHANNELS_MAX);
