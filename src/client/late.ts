/**
 * Changes that were made after all, or may have been, though their caller was told long
 * ago that they failed, or is gone: the kernel does not know of them, and is told to ask
 * again for what they changed.
 */
import { channelOf } from "../fuse/channels.ts";
import {
  CREATE_IN_SIZE,
  IN_HEADER_SIZE,
  LINK_IN_SIZE,
  MKDIR_IN_SIZE,
  MKNOD_IN_SIZE,
  Opcode,
  RENAME_IN_SIZE,
  RENAME2_IN,
  RENAME2_IN_SIZE,
} from "../fuse/protocol.ts";
import { putNotice } from "./channelnotice.ts";
import type { Client } from "./client.ts";
import { NoticeKind, type NoticeQueue } from "./noticequeue.ts";

/** Where the name is in the requests that change one name of a directory. */
const NAME_AT: ReadonlyMap<number, number> = new Map([
  [Opcode.MKNOD, MKNOD_IN_SIZE],
  [Opcode.MKDIR, MKDIR_IN_SIZE],
  [Opcode.SYMLINK, 0],
  [Opcode.UNLINK, 0],
  [Opcode.RMDIR, 0],
  [Opcode.LINK, LINK_IN_SIZE],
  [Opcode.CREATE, CREATE_IN_SIZE],
]);
/** Requests that change the node they are about. */
const CHANGES_NODE: ReadonlySet<number> = new Set([
  Opcode.SETATTR,
  Opcode.WRITE,
  Opcode.FALLOCATE,
  Opcode.SETXATTR,
  Opcode.REMOVEXATTR,
]);

/** Tells the kernel what the request of `slot`, whose answer came too late, may have changed. */
export function tellLate(c: Client, slot: number, notices: NoticeQueue): void {
  const opcode = c.pending.opcode[slot] as number;
  c.retained.replay(slot, () => {
    const { nodeHigh: high, nodeLow: low } = c.fuse;
    const nameAt = NAME_AT.get(opcode);
    if (nameAt !== undefined) dropName(c, notices, high, low, nameAt);
    if (opcode === Opcode.LINK) dropNode(c, notices, c.u32(4), c.u32(0));
    if (opcode === Opcode.RENAME || opcode === Opcode.RENAME2) dropNames(c, notices, opcode);
    if (CHANGES_NODE.has(opcode)) dropNode(c, notices, high, low);
  });
}

function dropNames(c: Client, notices: NoticeQueue, opcode: number): void {
  const at = opcode === Opcode.RENAME2 ? RENAME2_IN_SIZE : RENAME_IN_SIZE;
  dropName(c, notices, c.fuse.nodeHigh, c.fuse.nodeLow, at);
  const nextAt = at + c.textLength(at) + 1;
  const { newdir } = RENAME2_IN;
  dropName(c, notices, c.u32(newdir + 4), c.u32(newdir), nextAt);
}

/** A name of a directory, and the directory itself: its times and its entries. */
function dropName(
  c: Client,
  notices: NoticeQueue,
  high: number,
  low: number,
  nameAt: number,
): void {
  const start = IN_HEADER_SIZE + nameAt;
  const name = c.fuse.request.bytes.latin1Slice(start, start + c.textLength(nameAt));
  c.memo.changes(high, low);
  putNotice(c, notices, channelOf(c.fuse.uniqueHigh), NoticeKind.ENTRY, high, low, name);
  dropNode(c, notices, high, low);
}

function dropNode(c: Client, notices: NoticeQueue, high: number, low: number): void {
  c.dropKnown(high, low);
  putNotice(c, notices, channelOf(c.fuse.uniqueHigh), NoticeKind.DATA, high, low);
}
