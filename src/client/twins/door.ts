/**
 * The hidden directory (doors.ts) as the mount's thread serves it, for the twin process's
 * thread alone. Nothing here waits or is asked of the server, but the attributes of a node
 * of which they are not known.
 */
import { channelOf } from "../../fuse/channels.ts";
import { IN_HEADER_SIZE, MKNOD_IN_SIZE, OPEN_OUT_SIZE, Opcode } from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { type Attributes, emptyAttributes } from "../../wire/attributes.ts";
import { FileType, Policy } from "../../wire/constants.ts";
import { Op } from "../../wire/ops.ts";
import { put64, putAttrOut, putEntry } from "../answers.ts";
import type { Client } from "../client.ts";
import type { Node } from "./channel.ts";
import {
  DOORS_NAME,
  type Door,
  doorsLow,
  levelLow,
  levelOf,
  readAlias,
  readDoor,
  TWIN_HIGH,
} from "./doors.ts";

/** Not a request on the hidden directory. */
export const NOT_HERE = -1;

/** Doors that are open at once: the thread uses one after the other. */
const DOORS_MAX = 16;
/** What is told of these directories never changes. */
const ALWAYS = { ordinarySeconds: 1_000_000, watchedSeconds: 1_000_000 };
const NEVER = { ordinarySeconds: 0, watchedSeconds: 0 };
const DIRECTORY_MODE = 0o700;

interface Opened extends Door {
  /** Names that the kernel keeps because of it: each of a directory with that lower half. */
  readonly names: { low: number; name: string }[];
}

export interface DoorOptions {
  /** Whether the thread with that id is the twin process's. */
  isTwin: (pid: number) => boolean;
  /** Attributes of a node that is served, if they are known. */
  attributesOf: (node: Node) => Attributes | undefined;
  /** The kernel is to forget a name in such a directory of a channel. */
  forget: (channel: number, low: number, name: string) => void;
}

const directory: Attributes = {
  ...emptyAttributes(),
  mode: FileType.DIRECTORY | DIRECTORY_MODE,
  nlink: 2,
  policy: Policy.ORDINARY,
};

export class DoorKeeper {
  readonly #client: Client;
  readonly #options: DoorOptions;
  readonly #doors = new Map<number, Opened>();
  /** Channels whose hidden directory the twin process has found. */
  readonly #entered = new Set<number>();

  constructor(client: Client, options: DoorOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Serves the request in the device's buffer if it is one on the hidden directory: 0, an errno, or NOT_HERE. */
  serve(): number {
    const { fuse } = this.#client;
    const { nodeHigh, nodeLow, opcode } = fuse;
    if (nodeHigh === TWIN_HIGH) return this.#within(opcode, nodeLow);
    if (opcode !== Opcode.LOOKUP && opcode !== Opcode.GETATTR) return NOT_HERE;
    // What the kernel asks for itself comes from nobody.
    if (fuse.pid === 0) return NOT_HERE;
    if (opcode === Opcode.LOOKUP) return this.#lookupFrom(nodeHigh, nodeLow);
    const known = this.#options.isTwin(fuse.pid)
      ? this.#options.attributesOf([nodeHigh, nodeLow])
      : undefined;
    if (known === undefined) return NOT_HERE;
    this.#client.answerBodyNow(putAttrOut(this.#view, this.#client.answerBody, known, NEVER));
    return 0;
  }

  get #view(): DataView {
    return this.#client.fuse.answer.view;
  }

  #name(offset: number): string {
    const start = IN_HEADER_SIZE + offset;
    const { bytes } = this.#client.fuse.request;
    return bytes.latin1Slice(start, start + this.#client.textLength(offset));
  }

  /** The hidden directory itself, and nodes whose inodes the kernel has forgotten. */
  #lookupFrom(nodeHigh: number, nodeLow: number): number {
    const c = this.#client;
    const length = c.textLength(0);
    if (length !== DOORS_NAME.length && length !== 1) return NOT_HERE;
    const name = this.#name(0);
    // The thread asks whether the kernel has an inode (open_by_handle_at(2)): it has not.
    if (name === ".") return this.#options.isTwin(c.fuse.pid) ? E.ENOENT : NOT_HERE;
    const channel = channelOf(c.fuse.uniqueHigh);
    if (name !== DOORS_NAME || !c.fuse.channels.isRoot(channel, nodeHigh, nodeLow)) return NOT_HERE;
    if (!this.#options.isTwin(c.fuse.pid)) return NOT_HERE;
    this.#entered.add(channel);
    return this.#answerDirectory(doorsLow(channel));
  }

  /** Whether the twin process has found the hidden directory of a channel, and has it open. */
  isEntered(channel: number): boolean {
    return this.#entered.has(channel);
  }

  /** The twin process has ended. */
  leave(): void {
    this.#entered.clear();
  }

  #within(opcode: number, low: number): number {
    switch (opcode) {
      case Opcode.LOOKUP:
        return this.#lookup(low, this.#name(0));
      case Opcode.MKNOD:
        return this.#make(low, this.#name(MKNOD_IN_SIZE));
      case Opcode.GETATTR: {
        const attributes = this.#directory(low);
        const c = this.#client;
        c.answerBodyNow(putAttrOut(this.#view, c.answerBody, attributes, ALWAYS));
        return 0;
      }
      case Opcode.OPENDIR:
        for (let i = 0; i < OPEN_OUT_SIZE; i += 8)
          put64(this.#view, this.#client.answerBody + i, 0);
        this.#client.answerBodyNow(OPEN_OUT_SIZE);
        return 0;
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
        return NOT_HERE;
      case Opcode.RELEASEDIR:
        this.#client.answerNow(0);
        return 0;
      default:
        return E.EPERM;
    }
  }

  #directory(low: number): Attributes {
    directory.inoLow = low;
    directory.inoHigh = TWIN_HIGH;
    return directory;
  }

  #answerDirectory(low: number): number {
    const c = this.#client;
    const { answerBody } = c;
    c.answerBodyNow(putEntry(this.#view, answerBody, TWIN_HIGH, low, this.#directory(low), ALWAYS));
    return 0;
  }

  #lookup(low: number, name: string): number {
    if (!this.#options.isTwin(this.#client.fuse.pid)) return E.ENOENT;
    const at = levelOf(low);
    if (at === undefined) return this.#enter(low, name);
    const door = this.#doors.get(at.number);
    if (door === undefined) return E.ESTALE;
    // The last name is to be made.
    if (at.level + 1 >= door.depth) return E.ENOENT;
    door.names.push({ low, name });
    return this.#answerDirectory(levelLow(at.number, at.level + 1));
  }

  /** A name in the hidden directory: an alias, or a new door. */
  #enter(low: number, name: string): number {
    const door = readDoor(name);
    if (door !== undefined) {
      if (this.#doors.size >= DOORS_MAX) {
        this.#doors.delete(this.#doors.keys().next().value as number);
      }
      this.#doors.set(door.number, { ...door, names: [{ low, name }] });
      return this.#answerDirectory(levelLow(door.number, 0));
    }
    const node = readAlias(name);
    if (node === undefined) return E.ENOENT;
    const errno = this.#answerNode(node);
    // Else it would keep the inode when nobody else does.
    this.#options.forget(channelOf(this.#client.fuse.uniqueHigh), low, name);
    return errno;
  }

  /** Answers with the inode of a node, whose lookup the server does not count. */
  #answerNode([high, low]: Node): number {
    const c = this.#client;
    const known = this.#options.attributesOf([high, low]);
    if (known !== undefined) {
      c.uncounted(high, low);
      c.answerBodyNow(putEntry(this.#view, c.answerBody, high, low, known, NEVER));
      return 0;
    }
    const w = c.ask(Op.GETATTR, 1);
    w.uint64(high, low);
    w.uint(0);
    const { fuse, pending } = c;
    const slot = c.replaying >= 0 ? c.replaying : pending.find(fuse.uniqueLow, fuse.uniqueHigh);
    pending.nodeHigh[slot] = high;
    pending.nodeLow[slot] = low;
    c.send();
    return 0;
  }

  /** What is bound at the end of a door gets the inode that it leads to. */
  #make(low: number, name: string): number {
    const at = levelOf(low);
    const door = at === undefined ? undefined : this.#doors.get(at.number);
    if (door === undefined || at?.level !== door.depth - 1) return E.ESTALE;
    const channel = channelOf(this.#client.fuse.uniqueHigh);
    this.#doors.delete(door.number);
    if (this.#options.attributesOf(door.node) === undefined) return E.ESTALE;
    const errno = this.#answerNode(door.node);
    for (const one of [...door.names, { low, name }].reverse()) {
      this.#options.forget(channel, one.low, one.name);
    }
    return errno;
  }
}
