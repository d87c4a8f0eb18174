/** Requests on open files and their data. */

import { channelOf, ROOT } from "../../fuse/channels.ts";
import { TRANSFER_MAX } from "../../fuse/device.ts";
import {
  COPY_FILE_RANGE_IN,
  FALLOCATE_IN,
  FLUSH_IN,
  Fopen,
  FSYNC_FDATASYNC,
  FSYNC_IN,
  IN_HEADER_SIZE,
  LSEEK_IN,
  LSEEK_OUT_SIZE,
  OPEN_IN,
  OPEN_KILL_SUIDGID,
  OPEN_OUT,
  OPEN_OUT_SIZE,
  Opcode,
  READ_IN,
  RELEASE_FLOCK_UNLOCK,
  RELEASE_IN,
  WRITE_IN,
  WRITE_IN_SIZE,
  WRITE_KILL_SUIDGID,
  WRITE_OUT_SIZE,
} from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { OpenFlag, OpenResult, StreamFlag, WriteFlag } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { Oneway, Op } from "../../wire/ops.ts";
import { put64 } from "../answers.ts";
import { BULK_MIN } from "../bulk.ts";
import type { Client } from "../client.ts";
import { wireOpenFlags } from "../native.ts";
import { nodeKey } from "../nodekey.ts";
import { dropInode, storeData } from "../notices.ts";
import { GHOST_HANDLE } from "../watches/ghosts.ts";

/** What the upper half of a file handle of ours says; the lower half is the server's. */
export const FhFlag = { LIVE: 1, STREAM: 2 } as const;

/** The data of the request's node is about to change. */
function dropAhead(c: Client): void {
  if (c.lookahead.active) c.lookahead.dropNode(c.fuse.nodeHigh, c.fuse.nodeLow);
}

export function open(c: Client): number {
  const kill = c.u32(OPEN_IN.open_flags) & OPEN_KILL_SUIDGID;
  const flags = wireOpenFlags(c.u32(OPEN_IN.flags)) | (kill ? OpenFlag.KILL_SUIDGID : 0);
  const onlyReads = (flags & (OpenFlag.WRITE | OpenFlag.TRUNCATE | OpenFlag.DIRECT)) === 0;
  if (!onlyReads) dropAhead(c);
  const w = c.ask(Op.OPEN, flags);
  c.putNode(w);
  w.uint(flags);
  w.uint(onlyReads && c.cache !== "never" ? 1 : 0);
  w.uint(c.fuse.uid);
  w.uint(c.fuse.gid);
  c.send();
  return 0;
}

/** Whether the file opened last has other attributes than the kernel may believe. */
let attributesChanged = false;

/**
 * Writes struct fuse_open_out at `at` from the handle and OpenResult that are
 * next in the server's answer; its size.
 */
export function answerOpened(c: Client, at: number): number {
  const { reader } = c.transport;
  const handle = reader.uint32();
  const result = reader.uint32();
  if (handle === 0) throw new ProtocolError("opened file has no handle");
  const live = (result & OpenResult.UNSIZED) !== 0;
  const stream = (result & OpenResult.STREAM) !== 0;
  const direct = live || c.cache === "never";
  attributesChanged = (result & OpenResult.CHANGED) !== 0;
  const keep = (result & OpenResult.KEEP_CACHE) !== 0 || c.cache === "always";
  const { view } = c.fuse.answer;
  view.setUint32(at + OPEN_OUT.fh, handle, true);
  view.setUint32(
    at + OPEN_OUT.fh + 4,
    (live ? FhFlag.LIVE : 0) | (stream ? FhFlag.STREAM : 0),
    true,
  );
  put64(
    view,
    at + OPEN_OUT.open_flags,
    (direct ? Fopen.DIRECT_IO : 0) | (keep ? Fopen.KEEP_CACHE : 0) | (stream ? Fopen.STREAM : 0),
  );
  return OPEN_OUT_SIZE;
}

/** Whether the answer that is being built opens a live file. */
function isOpenedLive(c: Client): boolean {
  const { view } = c.fuse.answer;
  return (view.getUint32(c.answerBody + OPEN_OUT.fh + 4, true) & FhFlag.LIVE) !== 0;
}

export function answerOpen(c: Client, slot: number): void {
  const bytes = answerOpened(c, c.answerBody);
  c.transport.reader.finish();
  const flags = c.fuse.answer.view.getUint32(c.answerBody + OPEN_OUT.open_flags, true);
  const writes = ((c.pending.first[slot] as number) & OpenFlag.WRITE) !== 0;
  if ((c.pending.first[slot] as number) & OpenFlag.TRUNCATE) c.lookedUp.clear();
  if (isOpenedLive(c) && !writes) {
    // Nothing is written, and a lock goes with the handle: closing it need not be told before.
    c.fuse.answer.view.setUint32(c.answerBody + OPEN_OUT.open_flags, flags | Fopen.NOFLUSH, true);
  }
  if (attributesChanged) {
    const { pending } = c;
    const [high, low] = kernelNode(c, slot);
    dropInode(c.fuse, c.fuse.fdFor(pending.uniqueHigh[slot] as number), high, low, false);
  }
  if (c.transport.payloadLength > 0 && (flags & Fopen.DIRECT_IO) === 0) {
    const { pending, transport } = c;
    const [high, low] = kernelNode(c, slot);
    const stored = storeData(
      c.fuse,
      c.fuse.fdFor(pending.uniqueHigh[slot] as number),
      high,
      low,
      transport.payloadAddress,
      transport.payloadLength,
    );
    if (stored)
      c.fuse.answer.view.setUint32(c.answerBody + OPEN_OUT.open_flags, Fopen.KEEP_CACHE, true);
  }
  c.answer(slot, bytes);
}

/** What the kernel calls the node of the request in `slot`, in halves. */
function kernelNode({ fuse, pending }: Client, slot: number): readonly [number, number] {
  const high = pending.nodeHigh[slot] as number;
  const low = pending.nodeLow[slot] as number;
  const channel = channelOf(pending.uniqueHigh[slot] as number);
  return channel !== 0 && fuse.channels.isRoot(channel, high, low) ? [0, ROOT] : [high, low];
}

/** The server's handle in the request's field at `offset`. */
function handleAt(c: Client, offset: number): number {
  return c.u32(offset);
}

export function release(c: Client): number {
  if (handleAt(c, RELEASE_IN.fh) === GHOST_HANDLE) {
    c.answerNow(0);
    return 0;
  }
  c.tellOnce(Oneway.RELEASE, handleAt(c, RELEASE_IN.fh));
  // Others wait for a lock that ends with it: it is not kept for the next request.
  if (c.u32(RELEASE_IN.release_flags) & RELEASE_FLOCK_UNLOCK) c.lazy = false;
  c.answerNow(0);
  return 0;
}

/** close(2): the owner's range locks end, if the node has any. Data is written already. */
export function flush(c: Client): number {
  const node = nodeKey(c.fuse.nodeHigh, c.fuse.nodeLow);
  if (!c.locked.has(node)) {
    c.answerNow(0);
    return 0;
  }
  const w = c.ask(Op.UNLOCK);
  c.putNode(w);
  c.put64(w, FLUSH_IN.lock_owner);
  c.send();
  return 0;
}

/** What stands in place of an offset, by the open file's flags now. */
function streamFlags(flags: number): number {
  return (wireOpenFlags(flags) & OpenFlag.NONBLOCK) !== 0 ? StreamFlag.NONBLOCK : 0;
}

export function read(c: Client): number {
  const size = c.u32(READ_IN.size);
  const isStream = (c.u32(READ_IN.fh + 4) & FhFlag.STREAM) !== 0;
  const offset = isStream ? streamFlags(c.u32(READ_IN.flags)) : c.u64(READ_IN.offset);
  if (size > TRANSFER_MAX) return E.EINVAL;
  if (offset > Number.MAX_SAFE_INTEGER) return E.EINVAL;
  if (size >= BULK_MIN) c.bulkReads++;
  const w = c.ask(Op.READ, size);
  w.uint(handleAt(c, READ_IN.fh));
  w.uint(offset);
  w.uint(size);
  c.send();
  return 0;
}

export function answerRead(c: Client, slot: number): void {
  c.transport.reader.finish();
  c.counters.moved(Op.READ, c.transport.payloadLength);
  c.answerPayload(slot, c.pending.first[slot] as number);
}

export function write(c: Client): number {
  const size = c.u32(WRITE_IN.size);
  const isStream = (c.u32(WRITE_IN.fh + 4) & FhFlag.STREAM) !== 0;
  const offset = isStream ? streamFlags(c.u32(WRITE_IN.flags)) : c.u64(WRITE_IN.offset);
  if (offset > Number.MAX_SAFE_INTEGER) return E.EFBIG;
  dropAhead(c);
  const kill = c.u32(WRITE_IN.write_flags) & WRITE_KILL_SUIDGID;
  const w = c.ask(Op.WRITE, size);
  w.uint(handleAt(c, WRITE_IN.fh));
  w.uint(offset);
  w.uint(kill ? WriteFlag.KILL_SUIDGID : 0);
  w.uint(kill ? c.fuse.gid : 0);
  c.counters.moved(Op.WRITE, size);
  c.sendWith(IN_HEADER_SIZE + WRITE_IN_SIZE, size);
  return 0;
}

export function answerWrite(c: Client, slot: number): void {
  const wrote = c.transport.reader.uint();
  c.transport.reader.finish();
  if (wrote > (c.pending.first[slot] as number))
    throw new ProtocolError("wrote more than was sent");
  put64(c.fuse.answer.view, c.answerBody, wrote);
  c.answer(slot, WRITE_OUT_SIZE);
}

export function fsync(c: Client): number {
  const w = c.ask(Op.FSYNC);
  w.uint(handleAt(c, FSYNC_IN.fh));
  w.uint(c.u32(FSYNC_IN.fsync_flags) & FSYNC_FDATASYNC);
  c.send();
  return 0;
}

export function fallocate(c: Client): number {
  const offset = c.u64(FALLOCATE_IN.offset);
  const length = c.u64(FALLOCATE_IN.length);
  if (offset + length > Number.MAX_SAFE_INTEGER) return E.EFBIG;
  dropAhead(c);
  const w = c.ask(Op.FALLOCATE);
  w.uint(handleAt(c, FALLOCATE_IN.fh));
  w.uint(c.u32(FALLOCATE_IN.mode));
  w.uint(offset);
  w.uint(length);
  w.uint(killsSetId(c));
  c.send();
  return 0;
}

/** For calls whose request does not say it: whether the caller may not keep set-id bits. */
function killsSetId(c: Client): number {
  return c.fuse.uid === 0 ? 0 : 1;
}

/** The largest count that struct fuse_write_out can tell. */
const COPY_MAX = 0xffff_f000;

export function copyFileRange(c: Client): number {
  const wide = c.fuse.opcode === Opcode.COPY_FILE_RANGE_64;
  const length = c.u64(COPY_FILE_RANGE_IN.len);
  if (c.lookahead.active) {
    const { nodeid_out } = COPY_FILE_RANGE_IN;
    c.lookahead.dropNode(c.u32(nodeid_out + 4), c.u32(nodeid_out));
  }
  const w = c.ask(Op.COPY_RANGE, length);
  w.uint(handleAt(c, COPY_FILE_RANGE_IN.fh_in));
  w.uint(c.u64(COPY_FILE_RANGE_IN.off_in));
  w.uint(handleAt(c, COPY_FILE_RANGE_IN.fh_out));
  w.uint(c.u64(COPY_FILE_RANGE_IN.off_out));
  w.uint(wide ? Math.min(length, Number.MAX_SAFE_INTEGER) : Math.min(length, COPY_MAX));
  w.uint(killsSetId(c));
  c.send();
  return 0;
}

export function lseek(c: Client): number {
  const offset = c.u64(LSEEK_IN.offset);
  if (offset > Number.MAX_SAFE_INTEGER) return E.ENXIO;
  const w = c.ask(Op.SEEK);
  w.uint(handleAt(c, LSEEK_IN.fh));
  w.uint(offset);
  w.uint(c.u32(LSEEK_IN.whence));
  c.send();
  return 0;
}

/** An answer that is one number of 64 bits. */
export function answerNumber(c: Client, slot: number): void {
  const value = c.transport.reader.uint();
  c.transport.reader.finish();
  put64(c.fuse.answer.view, c.answerBody, value);
  c.answer(slot, LSEEK_OUT_SIZE);
}

/** An answer that is nothing but success. */
export function answerDone(c: Client, slot: number): void {
  c.transport.reader.finish();
  c.answerErrno(slot, 0);
}

/** Whether the handle in the request's field at `offset` is of a live file. */
export function isLive(c: Client, offset: number): boolean {
  return (c.u32(offset + 4) & FhFlag.LIVE) !== 0;
}
