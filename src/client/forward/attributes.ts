/** Requests on attributes, extended attributes and the file system. */
import {
  Fattr,
  GETATTR_FH,
  GETATTR_IN,
  GETXATTR_IN,
  GETXATTR_IN_SIZE,
  GETXATTR_OUT_SIZE,
  IN_HEADER_SIZE,
  Opcode,
  SETATTR_IN,
  SETXATTR_ACL_KILL_SGID,
  SETXATTR_IN,
  SETXATTR_IN_SIZE,
  STATFS_OUT,
  STATFS_OUT_SIZE,
  STATX_IN,
} from "../../fuse/protocol.ts";
import { E } from "../../sys/errno.ts";
import { SetAttr, SetXattr } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { XATTR_NAME_MAX, XATTR_VALUE_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import { put64, putAttrOut, putStatxOut } from "../answers.ts";
import type { Client } from "../client.ts";

export function getattr(c: Client): number {
  const { nodeHigh, nodeLow, pid } = c.fuse;
  const known =
    c.lookedUp.take(pid, nodeHigh, nodeLow) ??
    (c.cache === "never" ? undefined : c.memo.takeDirectory(nodeHigh, nodeLow));
  if (known !== undefined) {
    const length = putAttrOut(c.fuse.answer.view, c.answerBody, known, c.validity);
    const unique = [c.fuse.uniqueLow, c.fuse.uniqueHigh] as const;
    if (!c.twins?.asked(unique, pid, [nodeHigh, nodeLow], length, known)) {
      c.answerBodyNow(length);
    }
    return 0;
  }
  const w = c.ask(Op.GETATTR);
  c.putNode(w);
  w.uint(c.u32(GETATTR_IN.getattr_flags) & GETATTR_FH ? c.u32(GETATTR_IN.fh) : 0);
  c.send();
  return 0;
}

/** Answers after a change; what an earlier answer said of the node is older. */
export function answerSetattr(c: Client, slot: number): void {
  c.dropKnown(c.pending.nodeHigh[slot] as number, c.pending.nodeLow[slot] as number);
  answerAttributes(c, slot);
}

/** A change that is none (watches/ghosts.ts) succeeds nevertheless: the file is gone, its watchers are not. */
export function failAttributes(c: Client, slot: number, errno: number): void {
  if (c.ghosts?.standsIn(slot, errno)) c.answer(slot, c.ghosts.putKnown());
  else c.answerErrno(slot, errno);
}

/** The same for a change of extended attributes, ACLs among them. */
export function answerSetxattr(c: Client, slot: number): void {
  c.dropKnown(c.pending.nodeHigh[slot] as number, c.pending.nodeLow[slot] as number);
  c.transport.reader.finish();
  c.answerErrno(slot, 0);
}

export function answerAttributes(c: Client, slot: number): void {
  c.readAttributesHere(c.transport.reader);
  c.transport.reader.finish();
  c.correctAttributes(slot);
  const length = c.putAttributesHere();
  if (!isAskedBefore(c, slot, length)) c.answer(slot, length);
}

/** Whether the GETATTR of `slot`, whose answer is ready, comes before a call that has to wait. */
function isAskedBefore(c: Client, slot: number, length: number): boolean {
  const { nodeHigh, nodeLow, opcode, pid, uniqueHigh, uniqueLow } = c.pending;
  if (c.twins === undefined || opcode[slot] !== Opcode.GETATTR) return false;
  const unique = [uniqueLow[slot] as number, uniqueHigh[slot] as number] as const;
  const node = [nodeHigh[slot] as number, nodeLow[slot] as number] as const;
  return c.twins.asked(unique, pid[slot] as number, node, length, c.attributes);
}

export function statx(c: Client): number {
  const w = c.ask(Op.STATX);
  c.putNode(w);
  w.uint(c.u32(STATX_IN.getattr_flags) & GETATTR_FH ? c.u32(STATX_IN.fh) : 0);
  c.send();
  return 0;
}

export function answerStatx(c: Client, slot: number): void {
  const { reader } = c.transport;
  c.readAttributesHere(reader);
  const birth = {
    known: reader.uint() !== 0,
    seconds: reader.int(),
    nanoseconds: reader.uint32(),
    attributes: reader.uint(),
  };
  reader.finish();
  c.correctAttributes(slot);
  c.answer(slot, putStatxOut(c.fuse.answer.view, c.answerBody, c.attributes, birth, c.validity));
}

const VALID: readonly (readonly [kernel: number, wire: number])[] = [
  [Fattr.MODE, SetAttr.MODE],
  [Fattr.UID, SetAttr.UID],
  [Fattr.GID, SetAttr.GID],
  [Fattr.SIZE, SetAttr.SIZE],
  [Fattr.KILL_SUIDGID, SetAttr.KILL_SUIDGID],
];

export function setattr(c: Client): number {
  const kernel = c.u32(SETATTR_IN.valid);
  let valid = 0;
  for (const [from, to] of VALID) if (kernel & from) valid |= to;
  if (kernel & Fattr.ATIME) valid |= kernel & Fattr.ATIME_NOW ? SetAttr.ATIME_NOW : SetAttr.ATIME;
  if (kernel & Fattr.MTIME) valid |= kernel & Fattr.MTIME_NOW ? SetAttr.MTIME_NOW : SetAttr.MTIME;
  const size = valid & SetAttr.SIZE ? c.u64(SETATTR_IN.size) : 0;
  if (size > Number.MAX_SAFE_INTEGER) return E.EFBIG;
  c.dropKnown(c.fuse.nodeHigh, c.fuse.nodeLow);
  const w = c.ask(Op.SETATTR);
  c.putNode(w);
  w.uint(kernel & Fattr.FH ? c.u32(SETATTR_IN.fh) : 0);
  w.uint(valid);
  w.uint(c.u32(SETATTR_IN.mode));
  w.uint(c.u32(SETATTR_IN.uid));
  w.uint(c.u32(SETATTR_IN.gid));
  w.uint(size);
  w.int(valid & SetAttr.ATIME ? c.i64(SETATTR_IN.atime) : 0);
  w.uint(valid & SetAttr.ATIME ? c.u32(SETATTR_IN.atimensec) : 0);
  w.int(valid & SetAttr.MTIME ? c.i64(SETATTR_IN.mtime) : 0);
  w.uint(valid & SetAttr.MTIME ? c.u32(SETATTR_IN.mtimensec) : 0);
  c.send();
  return 0;
}

export function statfs(c: Client): number {
  const w = c.ask(Op.STATFS);
  c.putNode(w);
  c.send();
  return 0;
}

export function answerStatfs(c: Client, slot: number): void {
  const { reader } = c.transport;
  const { view } = c.fuse.answer;
  const at = c.answerBody;
  for (let i = 0; i < STATFS_OUT_SIZE; i += 8) put64(view, at + i, 0);
  const { blocks, bfree, bavail, files, ffree } = STATFS_OUT;
  for (const field of [blocks, bfree, bavail, files, ffree]) {
    reader.uint64();
    view.setUint32(at + field, reader.low, true);
    view.setUint32(at + field + 4, reader.high, true);
  }
  view.setUint32(at + STATFS_OUT.bsize, reader.uint32(), true);
  view.setUint32(at + STATFS_OUT.namelen, reader.uint32(), true);
  view.setUint32(at + STATFS_OUT.frsize, reader.uint32(), true);
  reader.uint32();
  reader.finish();
  c.answer(slot, STATFS_OUT_SIZE);
}

export function syncfs(c: Client): number {
  const w = c.ask(Op.SYNCFS);
  c.putNode(w);
  c.send();
  return 0;
}

export function setxattr(c: Client): number {
  const length = c.textLength(SETXATTR_IN_SIZE);
  const size = c.u32(SETXATTR_IN.size);
  if (length > XATTR_NAME_MAX) return E.ERANGE;
  if (size > XATTR_VALUE_MAX) return E.E2BIG;
  const kill = c.u32(SETXATTR_IN.setxattr_flags) & SETXATTR_ACL_KILL_SGID;
  c.dropKnown(c.fuse.nodeHigh, c.fuse.nodeLow);
  const w = c.ask(Op.SETXATTR);
  c.putNode(w);
  c.putText(w, SETXATTR_IN_SIZE, length);
  w.uint((c.u32(SETXATTR_IN.flags) & 0xff) | (kill ? SetXattr.KILL_SGID : 0));
  w.uint(size);
  c.sendWith(IN_HEADER_SIZE + SETXATTR_IN_SIZE + length + 1, size);
  return 0;
}

const CAPABILITY = "security.capability";

/** The kernel asks for file capabilities before the first write to a file; a new one has none. */
function isAskedOfNewFile(c: Client): boolean {
  const at = IN_HEADER_SIZE + GETXATTR_IN_SIZE;
  return (
    c.memo.isNewFile(c.fuse.nodeHigh, c.fuse.nodeLow) &&
    c.fuse.request.bytes.latin1Slice(at, at + CAPABILITY.length) === CAPABILITY
  );
}

const ACLS: ReadonlySet<string> = new Set(["system.posix_acl_access", "system.posix_acl_default"]);
const ACL_LENGTHS = [...ACLS].map((name) => name.length);

/** Whether the request is for an attribute, of a name of `length`, that is an ACL. */
function isAcl(c: Client, length: number): boolean {
  const at = IN_HEADER_SIZE + GETXATTR_IN_SIZE;
  const isSoLong = ACL_LENGTHS.includes(length);
  return isSoLong && ACLS.has(c.fuse.request.bytes.latin1Slice(at, at + length));
}

/**
 * Where the HOST's file system knows no ACLs there is none: the kernel asks for one
 * at each permission check (fuse_get_acl), and would refuse everybody but the owner.
 */
export function failGetxattr(c: Client, slot: number, errno: number): void {
  const isNone = errno === E.EOPNOTSUPP && c.pending.second[slot] === 1;
  c.answerErrno(slot, isNone ? E.ENODATA : errno);
}

export function getxattr(c: Client): number {
  const length = c.textLength(GETXATTR_IN_SIZE);
  const size = Math.min(c.u32(GETXATTR_IN.size), XATTR_VALUE_MAX);
  if (length > XATTR_NAME_MAX) return E.ERANGE;
  if (length === CAPABILITY.length && isAskedOfNewFile(c)) return E.ENODATA;
  const w = c.ask(Op.GETXATTR, size, isAcl(c, length) ? 1 : 0);
  c.putNode(w);
  c.putText(w, GETXATTR_IN_SIZE, length);
  w.uint(size);
  c.send();
  return 0;
}

export function listxattr(c: Client): number {
  const size = Math.min(c.u32(GETXATTR_IN.size), XATTR_VALUE_MAX);
  // Names in trusted. are shown to those alone who may read them (xattr(7)).
  const w = c.ask(Op.LISTXATTR, size, c.fuse.uid === 0 ? 1 : 0);
  c.putNode(w);
  w.uint(size);
  c.send();
  return 0;
}

export function removexattr(c: Client): number {
  const length = c.textLength(0);
  if (length > XATTR_NAME_MAX) return E.ERANGE;
  c.dropKnown(c.fuse.nodeHigh, c.fuse.nodeLow);
  const w = c.ask(Op.REMOVEXATTR);
  c.putNode(w);
  c.putText(w, 0, length);
  c.send();
  return 0;
}

function answerSize(c: Client, slot: number, size: number): void {
  put64(c.fuse.answer.view, c.answerBody, size);
  c.answer(slot, GETXATTR_OUT_SIZE);
}

/** The size alone, or the bytes. */
export function answerXattr(c: Client, slot: number): void {
  const { reader, payloadLength } = c.transport;
  const size = reader.uint32();
  reader.finish();
  const room = c.pending.first[slot] as number;
  if (room === 0) {
    answerSize(c, slot, size);
    return;
  }
  if (size !== payloadLength) throw new ProtocolError("xattr of another length than said");
  c.answerPayload(slot, room);
}

/** As answerXattr, without the names that the caller may not know of. */
export function answerList(c: Client, slot: number): void {
  if (c.pending.first[slot] === 0 || c.pending.second[slot] === 1) {
    answerXattr(c, slot);
    return;
  }
  const { reader, payloadStart, payloadLength } = c.transport;
  reader.uint32();
  reader.finish();
  if (payloadLength > (c.pending.first[slot] as number)) {
    throw new ProtocolError("answer has more data than asked for");
  }
  const names = reader.bytes.latin1Slice(payloadStart, payloadStart + payloadLength).split("\0");
  const shown = names.filter((name) => name !== "" && !name.startsWith("trusted."));
  const text = shown.map((name) => `${name}\0`).join("");
  c.fuse.answer.bytes.latin1Write(text, c.answerBody);
  c.answer(slot, text.length);
}
