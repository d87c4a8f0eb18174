/**
 * The listing of the view's root: the HOST's, as its server sends it, and behind it those
 * processes of the caller's that the HOST has no number for. An entry that is the caller's
 * has no type (DT_UNKNOWN): programs that look for directories ask again then and follow
 * the link, those that do not follow links are told that it is one.
 */
import {
  DIRENT,
  DIRENT_NAME_OFFSET,
  ENTRY_OUT_SIZE,
  Opcode,
  READ_IN,
  RELEASE_IN,
} from "../../fuse/protocol.ts";
import { PAYLOAD_MAX } from "../../wire/limits.ts";
import type { Client } from "../client.ts";
import { processLow, VIEW_HIGH } from "./nodes.ts";

/** Upper half of the cookies of our entries, which no file system has; the lower is the process. */
const OWN_COOKIE_HIGH = 0x4000_0000;
/** Open directories of which is remembered what they have listed; beyond, names may come twice. */
const DIRECTORIES_MAX = 1024;

export class Listing {
  readonly #ownProcesses: (tid: number) => number[];
  /** Own numbers among the HOST's entries that were listed, by number of the open directory. */
  readonly #listed = new Map<number, Set<number>>();

  /** `ownProcesses`: those that belong with a thread, by number. */
  constructor(ownProcesses: (tid: number) => number[]) {
    this.#ownProcesses = ownProcesses;
  }

  /** Serves a READDIR of the root if it goes on behind the HOST's entries; else undefined. */
  serve(c: Client): number | undefined {
    const id = c.u32(READ_IN.fh);
    const [low, high] = [c.u32(READ_IN.offset), c.u32(READ_IN.offset + 4)];
    const end = c.directoryEnds.get(id);
    const isOwn = high === OWN_COOKIE_HIGH;
    if (!isOwn && (end === undefined || end.low !== low || end.high !== high)) {
      if (low === 0 && high === 0) this.#listed.delete(id);
      return undefined;
    }
    const size = Math.min(c.u32(READ_IN.size), PAYLOAD_MAX / 2);
    const own = { id, tid: c.fuse.pid, after: isOwn ? low : 0 };
    const { answerBody: at } = c;
    c.answerBodyNow(this.#put(c, own, at + size, c.fuse.opcode) - at);
    return 0;
  }

  /** The directory of the RELEASEDIR in the device's buffer is open no more. */
  release(c: Client): void {
    this.#listed.delete(c.u32(RELEASE_IN.fh));
  }

  /**
   * Goes over the HOST's entries in the answer to `slot` up to `end`: those that are the
   * caller's (`isOwn`) lose their node and their type.
   */
  adopt(c: Client, slot: number, end: number, isOwn: (name: string) => boolean): void {
    const { bytes, view } = c.fuse.answer;
    const isPlus = c.pending.opcode[slot] === Opcode.READDIRPLUS;
    const id = c.pending.second[slot] as number;
    for (let at = c.answerBody; at < end; ) {
      const dirent = isPlus ? at + ENTRY_OUT_SIZE : at;
      const nameAt = dirent + DIRENT_NAME_OFFSET;
      const nameEnd = nameAt + view.getUint32(dirent + DIRENT.namelen, true);
      const name = bytes.latin1Slice(nameAt, nameEnd);
      if (isOwn(name)) {
        if (isPlus) dropEntry(c, at);
        view.setUint32(dirent + DIRENT.type, 0, true);
        this.#remember(id, Number(name));
      }
      at = (nameEnd + 7) & ~7;
    }
  }

  /** Writes our first entries as the answer to `slot`; where they end. */
  putFirst(c: Client, slot: number): number {
    const { first, opcode, pid, second } = c.pending;
    const own = { id: second[slot] as number, tid: pid[slot] as number, after: 0 };
    return this.#put(c, own, c.answerBody + (first[slot] as number), opcode[slot] as number);
  }

  #remember(id: number, pid: number): void {
    const listed = this.#listed.get(id) ?? new Set();
    if (this.#listed.size >= DIRECTORIES_MAX) this.#listed.clear();
    this.#listed.set(id, listed.add(pid));
  }

  /** Writes what fits of the processes behind `after`; where they end. */
  #put(
    c: Client,
    { id, tid, after }: { id: number; tid: number; after: number },
    limit: number,
    opcode: number,
  ): number {
    const listed = this.#listed.get(id);
    let at = c.answerBody;
    for (const pid of this.#ownProcesses(tid)) {
      if (pid <= after || listed?.has(pid)) continue;
      const next = putProcess(c, at, limit, opcode === Opcode.READDIRPLUS, pid);
      if (next < 0) break;
      at = next;
    }
    return at;
  }
}

/** Takes the node off an entry; its lookup was counted. */
function dropEntry(c: Client, at: number): void {
  const { bytes, view } = c.fuse.answer;
  const [low, high] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
  if (low !== 0 || high !== 0) c.forget(high, low, 1);
  bytes.fill(0, at, at + ENTRY_OUT_SIZE);
}

/** Writes the entry of a process at `at`; where the next one goes, or -1 if it does not fit. */
function putProcess(c: Client, at: number, limit: number, isPlus: boolean, pid: number): number {
  const { bytes, view } = c.fuse.answer;
  const name = String(pid);
  const dirent = isPlus ? at + ENTRY_OUT_SIZE : at;
  const nameAt = dirent + DIRENT_NAME_OFFSET;
  const end = (nameAt + name.length + 7) & ~7;
  if (end > limit) return -1;
  // Node 0 in READDIRPLUS: the kernel takes the name alone (fuse_direntplus_link).
  bytes.fill(0, at, end);
  view.setUint32(dirent + DIRENT.ino, processLow(pid), true);
  view.setUint32(dirent + DIRENT.ino + 4, VIEW_HIGH, true);
  view.setUint32(dirent + DIRENT.off, pid, true);
  view.setUint32(dirent + DIRENT.off + 4, OWN_COOKIE_HIGH, true);
  view.setUint32(dirent + DIRENT.namelen, name.length, true);
  bytes.latin1Write(name, nameAt);
  return end;
}
