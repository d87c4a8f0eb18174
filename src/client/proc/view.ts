/**
 * The view that -o proc gives of the HOST's /proc: self, thread-self and the processes
 * that belong with the caller are this machine's, everything else is the HOST's. Which
 * is decided by who asks, the thread that the kernel names in each request.
 *
 * A process of this machine is a symbolic link to its directory in this machine's own
 * procfs, by the path at which the caller has that: there the kernel itself follows fd/N,
 * exe and ns/*, and takes what is written with the rights of who writes.
 */
import { IN_HEADER_SIZE, Opcode } from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { emptyAttributes } from "../../wire/attributes.ts";
import { FileType, Policy, ROOT_NODE } from "../../wire/constants.ts";
import { Op } from "../../wire/ops.ts";
import { putAttrOut, putEntry, putStatxOut } from "../answers.ts";
import type { Client } from "../client.ts";
import { Kin } from "./kin.ts";
import { Listing } from "./listing.ts";
import {
  isRoot,
  PID_LIMIT,
  pidOf,
  processLow,
  SELF_LOW,
  THREAD_SELF_LOW,
  VIEW_HIGH,
  VIEW_LOW,
} from "./nodes.ts";
import { describeProcess } from "./threads.ts";

const PROCESS_NAME = /^[1-9][0-9]{0,6}$/;
const NO_BIRTH = { known: false, seconds: 0, nanoseconds: 0, attributes: 0 };

export interface ProcViewOptions {
  /** The mount's device, as mountinfo writes it; undefined where it is mounted no more. */
  device: string | undefined;
  log: (level: "warn", text: string) => void;
}

export class ProcView {
  readonly #kin: Kin;
  readonly #listing: Listing;
  readonly #log: ProcViewOptions["log"];
  readonly #attributes = emptyAttributes();
  #hasWarned = false;

  constructor({ device, log }: ProcViewOptions) {
    this.#kin = new Kin(device);
    this.#listing = new Listing((tid) => this.#kin.all(tid));
    this.#log = log;
  }

  /** Whether the request in the device's buffer is answered without the server. */
  concerns(c: Client): boolean {
    const { nodeHigh, nodeLow, opcode } = c.fuse;
    if (nodeLow >= VIEW_LOW) return true;
    return isRoot(nodeHigh, nodeLow) && opcode === Opcode.LOOKUP && this.#named(c) !== 0;
  }

  /** Serves it, if so: 0, or an errno to answer with; undefined where it is the server's. */
  serve(c: Client): number | undefined {
    const { nodeHigh, nodeLow, opcode } = c.fuse;
    if (nodeLow >= VIEW_LOW) return this.#serveNode(c);
    if (!isRoot(nodeHigh, nodeLow)) return undefined;
    if (opcode === Opcode.LOOKUP) return this.#lookup(c);
    if (opcode === Opcode.READDIR || opcode === Opcode.READDIRPLUS) return this.#listing.serve(c);
    if (opcode === Opcode.RELEASEDIR) this.#listing.release(c);
    return undefined;
  }

  /** The server has answered the READDIR of `slot`, which ends at `end` so far: where it ends now. */
  finishListing(c: Client, slot: number, end: number, atEnd: boolean): number {
    const { nodeHigh, nodeLow, pid } = c.pending;
    if (!isRoot(nodeHigh[slot] as number, nodeLow[slot] as number)) return end;
    const tid = pid[slot] as number;
    this.#listing.adopt(c, slot, end, (name) => this.#nodeNamed(name, tid) !== 0);
    return end === c.answerBody && atEnd ? this.#listing.putFirst(c, slot) : end;
  }

  #lookup(c: Client): number | undefined {
    const low = this.#named(c);
    if (low === 0) return undefined;
    if (!this.#describe(low)) return E.ENOENT;
    const { view } = c.fuse.answer;
    c.answerBodyNow(putEntry(view, c.answerBody, VIEW_HIGH, low, this.#attributes, c.validity));
    return 0;
  }

  /** Lower half of the node that the LOOKUP is answered with, or 0 if that is the server's. */
  #named(c: Client): number {
    const start = IN_HEADER_SIZE;
    const name = c.fuse.request.bytes.latin1Slice(start, start + c.textLength(0));
    return this.#nodeNamed(name, c.fuse.pid);
  }

  /** What `name` is for the thread `tid`; callers that we have no number for see the HOST's. */
  #nodeNamed(name: string, tid: number): number {
    if (tid === 0) return 0;
    if (name === "self") return SELF_LOW;
    if (name === "thread-self") return THREAD_SELF_LOW;
    if (!PROCESS_NAME.test(name)) return 0;
    const pid = Number(name);
    return pid < PID_LIMIT && this.#kin.has(pid, tid) ? processLow(pid) : 0;
  }

  #serveNode(c: Client): number {
    const { nodeLow: low, opcode } = c.fuse;
    const { view } = c.fuse.answer;
    const at = c.answerBody;
    switch (opcode) {
      case Opcode.FORGET:
        return 0;
      case Opcode.READLINK:
        return this.#readlink(c);
      case Opcode.STATFS: {
        const w = c.ask(Op.STATFS);
        w.uint64(0, ROOT_NODE);
        c.send();
        return 0;
      }
      case Opcode.GETATTR:
      case Opcode.STATX:
      case Opcode.LOOKUP: // of ".", for open_by_handle_at(2)
        break;
      case Opcode.GETXATTR:
        // Not EOPNOTSUPP, which the kernel takes for an error when it asks for an ACL.
        return E.ENODATA;
      case Opcode.LISTXATTR:
        return E.EOPNOTSUPP;
      default:
        return E.EPERM;
    }
    const a = this.#attributes;
    if (!this.#describe(low)) return E.ENOENT;
    if (opcode === Opcode.GETATTR) c.answerBodyNow(putAttrOut(view, at, a, c.validity));
    else if (opcode === Opcode.STATX)
      c.answerBodyNow(putStatxOut(view, at, a, NO_BIRTH, c.validity));
    else c.answerBodyNow(putEntry(view, at, VIEW_HIGH, low, a, c.validity));
    return 0;
  }

  /** Puts the attributes of the symbolic link `low` into `#attributes`; false if its process is gone. */
  #describe(low: number): boolean {
    const a = this.#attributes;
    if (!describeProcess(pidOf(low) || "self", a)) return false;
    if (pidOf(low) === 0) a.uid = a.gid = 0;
    a.inoHigh = VIEW_HIGH;
    a.inoLow = low;
    a.mode = FileType.SYMLINK | 0o777;
    a.nlink = 1;
    a.blksize = 1024;
    a.policy = Policy.LIVE;
    return true;
  }

  #readlink(c: Client): number {
    const target = this.#target(c.fuse.nodeLow, c.fuse.pid);
    if (target === undefined) return E.ENOENT;
    const { bytes } = c.fuse.answer;
    c.answerBodyNow(bytes.latin1Write(target, c.answerBody));
    return 0;
  }

  /** Where the link `low` leads the thread `tid`; undefined if it leads nowhere. */
  #target(low: number, tid: number): string | undefined {
    const own = this.#kin.processOf(tid);
    if (own === 0) return undefined;
    if (low === SELF_LOW) return `${own}`;
    const isThread = low === THREAD_SELF_LOW;
    if (isThread && this.#kin.numbersAsWeDo(tid)) return `${own}/task/${tid}`;
    const procfs = this.#kin.procfsOf(tid);
    if (procfs === undefined) this.#warn(own);
    const name = isThread ? "thread-self" : this.#kin.nameOf(pidOf(low), tid);
    return procfs === undefined || name === undefined ? undefined : `${procfs}/${name}`;
  }

  #warn(pid: number): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const what = `Process ${pid} sees no procfs of this machine and cannot reach its own entries`;
    this.#log("warn", `${what}: mount one at /local_proc below its root`);
  }
}
