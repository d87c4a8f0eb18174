/**
 * Ghost operations: what happened on the HOST is done once more on the mount by a thread
 * of ours, and answered here without being done, so that the kernel tells those who
 * watch (inotify). See ghost.worker.ts for which operation tells what.
 *
 * Nothing that the thread asks may ever change anything on the HOST: what would, is
 * answered here or refused, also when it is asked again after the death of a process.
 */

import { channelOf } from "../../fuse/channels.ts";
import { IN_HEADER_SIZE, OPEN_OUT, OPEN_OUT_SIZE, Opcode } from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { FileType, Happening } from "../../wire/constants.ts";
import { Op } from "../../wire/ops.ts";
import { put64, putAttrOut, putEntry } from "../answers.ts";
import type { Client } from "../client.ts";
import { RESENT_BIT, State } from "../pending.ts";
import { Head } from "../record.ts";
import { attributesFrom, attributesOf, GHOST_HIGH } from "./ghostattributes.ts";
import type { GhostChannel, Happened } from "./ghostchannel.ts";
import { changesNames, isAbsent, isNew } from "./ghostnames.ts";

/** Handle of a file that the thread has opened. */
export const GHOST_HANDLE = 0xffff_ffff;
/** A directory that only the thread sees, for what moves to or from where nobody watches. */
export const HIDDEN_NAME = ".qtfs-elsewhere";
/**
 * Begins a name whose lookup says that the channel has something for the reactor; the
 * superblock's device number follows.
 */
export const DOORBELL_PREFIX = ".qtfs-watches.";
const HIDDEN_LOW = 1;

const NEVER = { ordinarySeconds: 0, watchedSeconds: 0 };
/** Changes that are answered with plain success. */
const FAKED: ReadonlySet<number> = new Set([
  Opcode.UNLINK,
  Opcode.RMDIR,
  Opcode.RENAME,
  Opcode.RENAME2,
  Opcode.FLUSH,
]);
/** What may be asked of the server for the thread: it changes nothing. */
const HARMLESS: ReadonlySet<number> = new Set([
  Opcode.LOOKUP,
  Opcode.GETATTR,
  Opcode.STATX,
  Opcode.GETXATTR,
  Opcode.READLINK,
  Opcode.STATFS,
  Opcode.OPENDIR,
  Opcode.RELEASEDIR,
  Opcode.FORGET,
  Opcode.BATCH_FORGET,
  Opcode.INTERRUPT,
]);

/** Not a ghost's request, or one that is forwarded like any other. */
export const FORWARD = -1;

export class Ghosts {
  readonly #client: Client;
  readonly #channel: GhostChannel;
  /** Called when the thread has found watches, or lost some. */
  readonly #found: (device: number) => void;
  /** The thread of a process that has died: what it had asked is asked again. */
  readonly #former: number;
  #next = HIDDEN_LOW + 1;

  constructor(client: Client, channel: GhostChannel, found: (device: number) => void) {
    this.#client = client;
    this.#channel = channel;
    this.#found = found;
    this.#former = client.record.get(Head.GHOST);
  }

  /** Whether the request in the device's buffer is a ghost's. */
  get isOwn(): boolean {
    const { pid } = this.#client.fuse;
    return this.#isGhost(pid);
  }

  /** What the kernel writes back by itself has no caller: 0, as a thread that is not there. */
  #isGhost(pid: number | undefined): boolean {
    return pid !== 0 && pid === this.#channel.tid;
  }

  /** What the request, which is a ghost's, is answered with while the server cannot be asked. */
  refusal(): number {
    return this.#isBell() ? E.ENOENT : E.EIO;
  }

  /** The connection is lost: what was asked for the thread is answered without the server. */
  giveUp(): void {
    const { pending } = this.#client;
    pending.forEachAsked((slot) => {
      if (!this.#isGhost(pending.pid[slot])) return;
      pending.state[slot] = State.ABANDONED;
      this.#client.answerErrno(slot, E.EIO);
    });
  }

  /** Serves the request in the device's buffer if it is a ghost's: 0, an errno, or FORWARD. */
  serve(): number {
    const { fuse, record, replaying } = this.#client;
    const { pid } = fuse;
    if (this.isOwn) {
      // Before anything is forwarded: whoever takes over must know it.
      if (record.get(Head.GHOST) !== pid) record.set(Head.GHOST, pid);
      return this.#serve();
    }
    const isAgain = replaying >= 0 || (fuse.uniqueHigh & RESENT_BIT) !== 0;
    return isAgain && pid !== 0 && pid === this.#former ? E.EIO : FORWARD;
  }

  /** Whether the lookup of `slot`, which failed, was for a happening of what is gone by now. */
  standsIn(slot: number, errno: number): boolean {
    const { pid, second } = this.#client.pending;
    return this.#isGhost(pid[slot]) && (second[slot] === 1 || errno === E.ENOENT);
  }

  /** Writes the entry that this lookup is answered with: of the node the kernel has, if that is known. */
  putStandIn(slot: number): number {
    const { answerBody, fuse, pending } = this.#client;
    if (pending.second[slot] === 0 || pending.first[slot] === 0) return this.putEntry();
    const [high, low] = [pending.nodeHigh[slot] as number, pending.nodeLow[slot] as number];
    this.#client.uncounted(high, low);
    return putEntry(fuse.answer.view, answerBody, high, low, attributesOf(this.#type, low), NEVER);
  }

  /** Writes an entry that is not there. */
  putEntry(): number {
    return this.#put(this.#type, this.#next++);
  }

  #serve(): number {
    const c = this.#client;
    const { opcode } = c.fuse;
    if (FAKED.has(opcode)) {
      c.answerNow(0);
      return 0;
    }
    switch (opcode) {
      case Opcode.LOOKUP:
        return this.#lookup();
      case Opcode.MKNOD:
      case Opcode.MKDIR:
        c.answerBodyNow(this.putEntry());
        return 0;
      case Opcode.SETATTR:
      case Opcode.GETATTR:
        return this.#attributes();
      case Opcode.OPEN:
        c.fuse.answer.view.setUint32(c.answerBody + OPEN_OUT.fh, GHOST_HANDLE, true);
        c.fuse.answer.view.setUint32(c.answerBody + OPEN_OUT.fh + 4, 0, true);
        put64(c.fuse.answer.view, c.answerBody + OPEN_OUT.open_flags, 0);
        c.answerBodyNow(OPEN_OUT_SIZE);
        return 0;
      default:
        return HARMLESS.has(opcode) ? FORWARD : E.EIO;
    }
  }

  /** Whether the request is that the reactor look into the channel; it has done so then. */
  #isBell(): boolean {
    const { fuse } = this.#client;
    const name = fuse.opcode === Opcode.LOOKUP ? this.#name() : "";
    if (!name.startsWith(DOORBELL_PREFIX)) return false;
    this.#found(Number(name.slice(DOORBELL_PREFIX.length)));
    return true;
  }

  /** The name that is looked up. */
  #name(): string {
    const { bytes } = this.#client.fuse.request;
    return bytes.latin1Slice(IN_HEADER_SIZE, IN_HEADER_SIZE + this.#client.textLength(0));
  }

  #lookup(): number {
    if (this.#isBell()) return E.ENOENT;
    const c = this.#client;
    const { nodeHigh, nodeLow } = c.fuse;
    const name = this.#name();
    if (c.fuse.channels.isRoot(channelOf(c.fuse.uniqueHigh), nodeHigh, nodeLow)) {
      if (name === HIDDEN_NAME) {
        c.answerBodyNow(this.#put(FileType.DIRECTORY, HIDDEN_LOW));
        return 0;
      }
    }
    const happened = this.#channel.repeated;
    if (happened === undefined || !changesNames(happened)) return FORWARD;
    if (isAbsent(happened, nodeHigh, nodeLow, name)) return E.ENOENT;
    if (happened.nodeLow !== 0 && !isNew(happened, nodeHigh)) this.#askFor(happened);
    else c.answerBodyNow(this.putEntry());
    return 0;
  }

  /**
   * Asks for what the name meant, which is gone: the kernel keeps the inode it has for
   * the name, with its watches, when it gets the same one again.
   */
  #askFor({ kinds, nodeHigh, nodeLow, toHigh, toLow, toName }: Happened): void {
    const c = this.#client;
    if ((kinds & Happening.MOVE) !== 0 && toLow !== 0) {
      const w = c.ask(Op.LOOKUP, 0, 1);
      w.uint64(toHigh, toLow);
      w.latin1(toName);
    } else {
      const w = c.ask(Op.GETATTR, 1, 1);
      w.uint64(nodeHigh, nodeLow);
      w.uint(0);
      const { pending, fuse } = c;
      const slot = c.replaying >= 0 ? c.replaying : pending.find(fuse.uniqueLow, fuse.uniqueHigh);
      pending.nodeHigh[slot] = nodeHigh;
      pending.nodeLow[slot] = nodeLow;
    }
    c.send();
  }

  /** A change of attributes that changes nothing is answered with what they are. */
  #attributes(): number {
    const c = this.#client;
    const { nodeHigh } = c.fuse;
    if (nodeHigh === GHOST_HIGH) {
      const type = c.fuse.nodeLow === HIDDEN_LOW ? FileType.DIRECTORY : this.#type;
      const attributes = attributesOf(type, c.fuse.nodeLow);
      c.answerBodyNow(putAttrOut(c.fuse.answer.view, c.answerBody, attributes, NEVER));
      return 0;
    }
    if (this.#channel.repeated === undefined) return HARMLESS.has(c.fuse.opcode) ? FORWARD : E.EIO;
    const w = c.ask(Op.GETATTR, 0, 1);
    c.putNode(w);
    w.uint(0);
    c.send();
    return 0;
  }

  /** Writes the attributes that the kernel has anyhow. */
  putKnown(): number {
    const { answerBody, fuse } = this.#client;
    const known = attributesFrom(this.#channel.status);
    return putAttrOut(fuse.answer.view, answerBody, known, NEVER);
  }

  /** Type of what the happening is about that is being repeated. */
  get #type(): number {
    const kinds = this.#channel.repeated?.kinds ?? 0;
    return (kinds & Happening.DIRECTORY) !== 0 ? FileType.DIRECTORY : FileType.REGULAR;
  }

  #put(type: number, low: number): number {
    const { answerBody, fuse } = this.#client;
    return putEntry(fuse.answer.view, answerBody, GHOST_HIGH, low, attributesOf(type, low), NEVER);
  }
}
