/** Requests on names in directories. */
import {
  ATTR,
  CREATE_IN,
  CREATE_IN_SIZE,
  ENTRY_OUT,
  EXT_GROUPS,
  EXT_HEADER,
  EXT_HEADER_SIZE,
  IN_HEADER_SIZE,
  LINK_IN_SIZE,
  MKDIR_IN,
  MKDIR_IN_SIZE,
  MKNOD_IN,
  MKNOD_IN_SIZE,
  OPEN_KILL_SUIDGID,
  Opcode,
  RENAME_IN_SIZE,
  RENAME2_IN,
  RENAME2_IN_SIZE,
  SUPP_GROUPS,
} from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { FileType, OpenFlag, Policy } from "../../wire/constants.ts";
import { NAME_MAX, PATH_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import type { Writer } from "../../wire/writer.ts";
import { isDeviceFile, putAbsent } from "../answers.ts";
import type { Client } from "../client.ts";
import { wireDevice, wireOpenFlags } from "../native.ts";
import { nodeKey } from "../nodekey.ts";
import { answerOpened } from "./files.ts";
import { answerFollowed, follow } from "./links.ts";
import { answerAhead, considerLookahead } from "./lookahead.ts";

const DOT = 0x2e;
/**
 * How long the kernel may believe that there is no such name: what the server told
 * during a cut was not heard, and nobody knows then of which names to tell it anew.
 */
const ABSENT_SECONDS = 5;

/** Whether the name of `length` bytes at the body's start is of `dots` dots. */
function isDots(c: Client, length: number, dots: number): boolean {
  const { bytes } = c.fuse.request;
  return (
    length === dots && bytes[IN_HEADER_SIZE] === DOT && bytes[IN_HEADER_SIZE + dots - 1] === DOT
  );
}

export function lookup(c: Client): number {
  const length = c.textLength(0);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  // open_by_handle_at(2) of a directory whose name the kernel has forgotten.
  if (isDots(c, length, 2)) return E.ESTALE;
  if (isDots(c, length, 1)) {
    // open_by_handle_at(2) asks whether the node is still there.
    const w = c.ask(Op.GETATTR, 1);
    c.putNode(w);
    w.uint(0);
    c.send();
    return 0;
  }
  const isLive = c.policyOf(c.fuse.nodeHigh, c.fuse.nodeLow) === Policy.LIVE;
  if (isLive && follow(c, length)) return 0;
  if (c.lookahead.active && answerAhead(c, length)) return 0;
  const w = c.ask(Op.LOOKUP);
  c.putNode(w);
  c.putText(w, 0, length);
  c.send();
  return 0;
}

/** Answers with the entry that the server's answer is. */
function answerEntry(c: Client, slot: number): void {
  const bytes = c.putEntryHere(c.answerBody, slot);
  c.transport.reader.finish();
  if (c.twins?.sockets.looked(slot, bytes) !== true) c.answer(slot, bytes);
}

/** Answers with the entry of what was made. */
export function answerMade(c: Client, slot: number): void {
  const bytes = c.putEntryHere(c.answerBody, slot);
  // The kernel wants what it has asked for; it looks the name up again before it shows it.
  if (c.pending.opcode[slot] === Opcode.MKNOD && isDeviceFile(c.attributes, c.validity)) {
    const { view } = c.fuse.answer;
    view.setUint32(c.answerBody + ENTRY_OUT.attr + ATTR.mode, c.attributes.mode, true);
  }
  c.readDirectoryHere(slot);
  if (c.pending.op[slot] === Op.SOCKET_BIND) noteBound(c, slot);
  c.transport.reader.finish();
  c.answer(slot, bytes);
  c.twins?.sockets.told(slot);
}

/** Takes note of a socket that a process here has bound. */
function noteBound(c: Client, slot: number): void {
  const { view } = c.fuse.answer;
  const at = c.answerBody + ENTRY_OUT.nodeid;
  const node = [view.getUint32(at + 4, true), view.getUint32(at, true)] as const;
  c.twins?.sockets.bound(slot, node, c.attributes);
}

/** Answers that a name is gone. */
export function answerRemoved(c: Client, slot: number): void {
  c.readDirectoryHere(slot);
  c.readLoserHere();
  c.transport.reader.finish();
  c.answerErrno(slot, 0);
}

/** Answers that a name has moved, from one directory to the other. */
export function answerRenamed(c: Client, slot: number): void {
  const { first, second } = c.pending;
  c.readDirectoryHere(slot);
  c.memo.readDirectory(first[slot] as number, second[slot] as number, c.transport.reader);
  c.readLoserHere();
  c.transport.reader.finish();
  c.answerErrno(slot, 0);
  if (c.twins?.sockets.hasOwned) noteRenamed(c, slot);
}

/** A socket that a process here has bound may have another name now. */
function noteRenamed(c: Client, slot: number): void {
  c.retained.replay(slot, () => {
    const { bytes } = c.fuse.request;
    const second = c.fuse.opcode === Opcode.RENAME2;
    const at = second ? RENAME2_IN_SIZE : RENAME_IN_SIZE;
    const textAt = (offset: number) => {
      const start = IN_HEADER_SIZE + offset;
      return bytes.latin1Slice(start, start + c.textLength(offset));
    };
    const name = textAt(at);
    const from = [c.fuse.nodeHigh, c.fuse.nodeLow] as const;
    const to = [c.u32(RENAME2_IN.newdir + 4), c.u32(RENAME2_IN.newdir)] as const;
    c.twins?.sockets.renamed(from, name, to, textAt(at + name.length + 1));
  });
}

/** Remembers the entry just answered for the rest of the caller's system call. */
function noteLookedUp(c: Client, slot: number): void {
  // The count of links is the kernel's for the moment.
  if (c.losers.active) return;
  const { view } = c.fuse.answer;
  const at = c.answerBody + ENTRY_OUT.nodeid;
  const pid = c.pending.pid[slot] as number;
  c.lookedUp.put(pid, view.getUint32(at + 4, true), view.getUint32(at, true), c.attributes);
}

export function answerLookup(c: Client, slot: number): void {
  if (c.pending.op[slot] === Op.FOLLOW) {
    answerFollowed(c, slot);
    return;
  }
  const isGhostly = c.pending.second[slot] !== 0;
  if (c.pending.first[slot] === 0) {
    answerEntry(c, slot);
    if (isGhostly) return;
    const { policy } = c.attributes;
    if (policy === Policy.LIVE || c.cache === "never") noteLookedUp(c, slot);
    else if (policy === Policy.WATCHED) considerLookahead(c, slot);
    return;
  }
  c.readAttributesHere(c.transport.reader);
  c.transport.reader.finish();
  // The kernel is about to take a link off.
  if (isGhostly) c.attributes.nlink++;
  const { pending } = c;
  const [high, low] = [pending.nodeHigh[slot] as number, pending.nodeLow[slot] as number];
  c.uncounted(high, low);
  c.answer(slot, c.putKnownEntry(high, low));
}

/** That a name does not exist may be remembered where the server would tell of its making. */
export function failLookup(c: Client, slot: number, errno: number): void {
  const { nodeHigh, nodeLow } = c.pending;
  if (c.ghosts?.standsIn(slot, errno)) {
    c.answer(slot, c.ghosts.putStandIn(slot));
    return;
  }
  const parentPolicy = c.policyOf(nodeHigh[slot] as number, nodeLow[slot] as number);
  if (errno !== E.ENOENT || parentPolicy !== Policy.WATCHED || c.cache === "never") {
    c.answerErrno(slot, errno);
    return;
  }
  const seconds = Math.min(c.validity.watchedSeconds, ABSENT_SECONDS);
  c.answer(slot, putAbsent(c.fuse.answer.view, c.answerBody, seconds));
}

/** The group that the kernel says the caller also has, for the new file; or -1. */
function callerGroup(c: Client): number {
  const extension = c.fuse.extensionBytes;
  if (extension < EXT_HEADER_SIZE + SUPP_GROUPS.groups + 4) return -1;
  const { view } = c.fuse.request;
  const at = c.fuse.length - extension;
  if (view.getUint32(at + EXT_HEADER.type, true) !== EXT_GROUPS) return -1;
  const groups = at + EXT_HEADER_SIZE;
  if (view.getUint32(groups + SUPP_GROUPS.nr_groups, true) === 0) return -1;
  return view.getUint32(groups + SUPP_GROUPS.groups, true);
}

/** Writes who makes the file: uid, gid, supplementary group. */
function putCaller(c: Client, w: Writer): void {
  w.uint(c.fuse.uid);
  w.uint(c.fuse.gid);
  w.int(callerGroup(c));
}

export function mknod(c: Client): number {
  const length = c.textLength(MKNOD_IN_SIZE);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  const mode = c.u32(MKNOD_IN.mode);
  const type = (mode & FileType.MASK) === FileType.SOCKET ? (c.twins?.sockets.bindType() ?? 0) : 0;
  if (type !== 0) {
    bind(c, length, type);
    return 0;
  }
  const w = c.ask(Op.MKNOD);
  c.putNode(w);
  c.putText(w, MKNOD_IN_SIZE, length);
  w.uint(c.u32(MKNOD_IN.mode));
  w.uint(wireDevice(c.u32(MKNOD_IN.rdev)));
  w.uint(c.u32(MKNOD_IN.umask));
  putCaller(c, w);
  c.send();
  return 0;
}

/** Makes a socket that the caller binds: somebody is to listen there on the HOST. */
function bind(c: Client, length: number, type: number): void {
  const w = c.ask(Op.SOCKET_BIND, type);
  c.putNode(w);
  c.putText(w, MKNOD_IN_SIZE, length);
  w.uint(c.u32(MKNOD_IN.mode));
  w.uint(c.u32(MKNOD_IN.umask));
  putCaller(c, w);
  w.uint(type);
  c.send();
}

export function mkdir(c: Client): number {
  const length = c.textLength(MKDIR_IN_SIZE);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  const w = c.ask(Op.MKDIR);
  c.putNode(w);
  c.putText(w, MKDIR_IN_SIZE, length);
  w.uint(c.u32(MKDIR_IN.mode));
  w.uint(c.u32(MKDIR_IN.umask));
  putCaller(c, w);
  c.send();
  return 0;
}

export function symlink(c: Client): number {
  const length = c.textLength(0);
  const target = c.textLength(length + 1);
  if (length > NAME_MAX || target > PATH_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  const w = c.ask(Op.SYMLINK);
  c.putNode(w);
  c.putText(w, 0, length);
  c.putText(w, length + 1, target);
  putCaller(c, w);
  c.send();
  return 0;
}

/** A name of the request's directory is about to change. */
function dropAhead(c: Client): void {
  c.memo.changes(c.fuse.nodeHigh, c.fuse.nodeLow);
  if (c.lookahead.active) c.lookahead.dropName(nodeKey(c.fuse.nodeHigh, c.fuse.nodeLow));
}

function remove(c: Client, op: number): number {
  const length = c.textLength(0);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  const w = c.ask(op);
  c.putNode(w);
  c.putText(w, 0, length);
  c.send();
  return 0;
}

export function unlink(c: Client): number {
  return remove(c, Op.UNLINK);
}

export function rmdir(c: Client): number {
  return remove(c, Op.RMDIR);
}

export function rename(c: Client): number {
  const second = c.fuse.opcode === Opcode.RENAME2;
  const names = second ? RENAME2_IN_SIZE : RENAME_IN_SIZE;
  const length = c.textLength(names);
  const newLength = c.textLength(names + length + 1);
  if (length > NAME_MAX || newLength > NAME_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  c.memo.changes(c.u32(RENAME2_IN.newdir + 4), c.u32(RENAME2_IN.newdir));
  if (c.lookahead.active) {
    c.lookahead.dropName(nodeKey(c.u32(RENAME2_IN.newdir + 4), c.u32(RENAME2_IN.newdir)));
  }
  const w = c.ask(Op.RENAME, c.u32(RENAME2_IN.newdir + 4), c.u32(RENAME2_IN.newdir));
  c.putNode(w);
  c.putText(w, names, length);
  c.put64(w, RENAME2_IN.newdir);
  c.putText(w, names + length + 1, newLength);
  w.uint(second ? c.u32(RENAME2_IN.flags) : 0);
  c.send();
  return 0;
}

export function link(c: Client): number {
  const length = c.textLength(LINK_IN_SIZE);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  dropAhead(c);
  if (c.lookahead.active) c.lookahead.dropNode(c.u32(4), c.u32(0));
  const w = c.ask(Op.LINK);
  c.put64(w, 0);
  c.putNode(w);
  c.putText(w, LINK_IN_SIZE, length);
  c.send();
  return 0;
}

/** Open flags of a file that is being made, as the wire's. */
function creationFlags(c: Client): number {
  const kill = c.u32(CREATE_IN.open_flags) & OPEN_KILL_SUIDGID;
  return wireOpenFlags(c.u32(CREATE_IN.flags)) | (kill ? OpenFlag.KILL_SUIDGID : 0);
}

export function create(c: Client): number {
  const length = c.textLength(CREATE_IN_SIZE);
  if (length > NAME_MAX) return E.ENAMETOOLONG;
  const flags = creationFlags(c);
  dropAhead(c);
  const w = c.ask(Op.CREATE, flags);
  c.putNode(w);
  c.putText(w, CREATE_IN_SIZE, length);
  putCreation(c, w, flags);
  return 0;
}

export function tmpfile(c: Client): number {
  const flags = creationFlags(c);
  const w = c.ask(Op.TMPFILE, flags);
  c.putNode(w);
  putCreation(c, w, flags);
  return 0;
}

function putCreation(c: Client, w: Writer, flags: number): void {
  w.uint(flags);
  w.uint(c.u32(CREATE_IN.mode) & 0o7777);
  w.uint(c.u32(CREATE_IN.umask));
  putCaller(c, w);
  c.send();
}

/** An entry, and the handle it was opened with. */
export function answerCreated(c: Client, slot: number): void {
  const { view } = c.fuse.answer;
  const at = c.answerBody;
  const entryBytes = c.putEntryHere(at, slot);
  const bytes = answerOpened(c, at + entryBytes);
  if (c.pending.opcode[slot] === Opcode.CREATE) c.readDirectoryHere(slot);
  c.transport.reader.finish();
  c.memo.noteFile(view.getUint32(at + ENTRY_OUT.nodeid + 4, true), view.getUint32(at, true));
  c.answer(slot, entryBytes + bytes);
}
