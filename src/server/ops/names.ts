/** Operations on names in a directory: find, make, remove, rename, link. */

import { E } from "../../sys/errno.ts";
import { AT_EMPTY_PATH, AT_REMOVEDIR } from "../../sys/open.ts";
import {
  linkat,
  makedev,
  mkdirat,
  mknodat,
  renameat2,
  symlinkat,
  unlinkat,
} from "../../sys/tree.ts";
import { ATTRIBUTE_FIELDS, FileType, Policy, Rename } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import type { Writer } from "../../wire/writer.ts";
import { asCaller, asServer } from "../caller.ts";
import { isRemembered, remember } from "../coherence.ts";
import type { Session } from "../session.ts";
import { EMPTY_PATH, identify, statName, writeAttributes } from "../status.ts";

const PERMISSIONS = 0o7777;
/** (uid_t)-1, which stands for no user. */
const NO_ID = 0xffff_ffff;

/** Results of an answer that describes an entry: node, then attributes. */
export const ENTRY_RESULTS = 1 + ATTRIBUTE_FIELDS;

/** Writes the node `row`, which was described last, as an entry: number and attributes. */
export function writeEntry(session: Session, w: Writer, row: number): void {
  const { nodes, reach } = session.attached;
  w.uint64(nodes.high(row), row);
  reach.writeAttributes(w, row);
}

/** Results of an answer that describes what was made, and the directory it was made in. */
export const MADE_RESULTS = ENTRY_RESULTS + ATTRIBUTE_FIELDS;

/**
 * Writes the attributes of a directory after a change of its entries: its
 * client's kernel has just dropped them and would ask for them next.
 */
export function writeDirectory(session: Session, w: Writer, row: number): void {
  const { reach } = session.attached;
  if (reach.stat(row) === 0) reach.writeAttributes(w, row);
  else writeAttributes(w, 0, Policy.UNKNOWN);
}

/** Answers with the entry `name` (address) of `parent` and, if it is new, the parent; 0 or an errno. */
function replyEntry(
  session: Session,
  parent: number,
  dirfd: number,
  name: number,
  isNew: boolean,
): number {
  const result = statName(dirfd, name);
  if (result < 0) return -result;
  const { nodes, watched } = session.attached;
  const row = nodes.intern(identify(), parent, session.nameText);
  watched.register(parent, dirfd);
  if (row < 0) return E.ENOMEM;
  if (!isNew) session.countLookup(row);
  const w = session.reply(isNew ? MADE_RESULTS : ENTRY_RESULTS);
  writeEntry(session, w, row);
  if (isNew) writeDirectory(session, w, parent);
  session.send();
  return 0;
}

/** `[parent, name]` → entry */
export function lookup(session: Session): number {
  const parent = session.node();
  const name = session.nameAt(0);
  session.reader.finish();
  if (parent < 0) return E.ESTALE;
  const { reach, watched } = session.attached;
  const dirfd = reach.fd(parent);
  if (dirfd < 0) return -dirfd;
  // Registered first: the client may remember that the name does not exist.
  watched.register(parent, dirfd);
  return replyEntry(session, parent, dirfd, name, false);
}

/** Arguments that every operation that makes something begins with. */
interface Making {
  parent: number;
  dirfd: number;
  name: number;
}

const making: Making = { parent: 0, dirfd: 0, name: 0 };

/** Reads `[parent, name]`; 0, or the errno that refuses to make anything there. */
export function readMaking(session: Session): number {
  making.parent = session.node();
  making.name = session.nameAt(0);
  if (making.parent < 0) return E.ESTALE;
  making.dirfd = session.attached.reach.fd(making.parent);
  if (making.dirfd < 0) return -making.dirfd;
  return session.attached.readOnly ? E.EROFS : 0;
}

/** Where the operation whose `readMaking` returned 0 makes something. */
export function place(): Readonly<Making> {
  return making;
}

/** Reads `[…, umask, uid, gid, group]` and acts as that caller until `asServer`. */
export function readCaller(session: Session): void {
  actAs(session, session.reader.uint32());
}

function actAs(session: Session, umask: number): void {
  const { reader } = session;
  const uid = reader.uint32();
  const gid = reader.uint32();
  const group = reader.int();
  reader.finish();
  // setfsuid(2) ignores it, and what is made would belong to the server.
  if (uid === NO_ID || gid === NO_ID || group >= NO_ID || group < -1) {
    throw new ProtocolError("caller has no valid id");
  }
  asCaller(umask, uid, gid, group);
}

function made(session: Session, result: number): number {
  asServer();
  if (result < 0) return -result;
  return replyEntry(session, making.parent, making.dirfd, making.name, true);
}

/** `[parent, name, mode, rdev, umask, uid, gid, group]` → entry, the parent's attributes */
export function mknod(session: Session): number {
  const refused = readMaking(session);
  const mode = session.reader.uint32();
  const rdev = session.reader.uint32();
  const type = mode & FileType.MASK;
  if (type === FileType.DIRECTORY || type === FileType.SYMLINK) {
    throw new ProtocolError("MKNOD of a directory or link");
  }
  readCaller(session);
  if (refused !== 0) return done(refused);
  const device = makedev(rdev >>> 20, rdev & 0xf_ffff);
  return made(session, mknodat(making.dirfd, making.name, mode & 0o177777, device));
}

function done(errno: number): number {
  asServer();
  return errno;
}

/** `[parent, name, mode, umask, uid, gid, group]` → entry, the parent's attributes */
export function mkdir(session: Session): number {
  const refused = readMaking(session);
  const mode = session.reader.uint32();
  readCaller(session);
  if (refused !== 0) return done(refused);
  return made(session, mkdirat(making.dirfd, making.name, mode & PERMISSIONS));
}

/** `[parent, name, target, uid, gid, group]` → entry, the parent's attributes */
export function symlink(session: Session): number {
  const refused = readMaking(session);
  const target = session.textAt(1, PATH_MAX);
  actAs(session, 0);
  if (refused !== 0) return done(refused);
  return made(session, symlinkat(target, making.dirfd, making.name));
}

/**
 * A known inode is about to lose the name `name`: a descriptor keeps it within
 * reach of those who still use it (a working directory, an open file).
 */
function holdOn(
  session: Session,
  dirfd: number,
  name: number,
  parent: number,
  otherParent: number,
): void {
  if (statName(dirfd, name) !== 0) return;
  const { nodes, reach } = session.attached;
  const row = nodes.find(identify());
  if (row >= 0) reach.fdBeside(row, parent, otherParent);
}

function remove(session: Session, flags: number): number {
  const refused = readMaking(session);
  session.reader.finish();
  if (refused !== 0) return refused;
  holdOn(session, making.dirfd, making.name, making.parent, making.parent);
  const result = unlinkat(making.dirfd, making.name, flags);
  if (result < 0) return -result;
  writeDirectory(session, session.reply(ATTRIBUTE_FIELDS), making.parent);
  session.send();
  return 0;
}

/** `[parent, name]` → the parent's attributes */
export function unlink(session: Session): number {
  return remove(session, 0);
}

/** `[parent, name]` → the parent's attributes */
export function rmdir(session: Session): number {
  return remove(session, AT_REMOVEDIR);
}

/** `[parent, name, newParent, newName, flags]` → attributes of both parents */
export function rename(session: Session): number {
  const { reader } = session;
  const parent = session.node();
  const name = session.nameAt(0);
  const oldText = session.nameText;
  const newParent = session.node();
  const newName = session.nameAt(1);
  const newText = session.nameText;
  const flags = reader.uint32();
  reader.finish();
  if ((flags & ~Rename.ALL) !== 0) return E.EINVAL;
  if (parent < 0 || newParent < 0) return E.ESTALE;
  const { reach, readOnly } = session.attached;
  const dirfd = reach.fd(parent);
  const newDirfd = reach.fdBeside(newParent, parent);
  if (dirfd < 0 || newDirfd < 0) return -Math.min(dirfd, newDirfd);
  if (readOnly) return E.EROFS;
  holdOn(session, newDirfd, newName, newParent, parent);
  const known = isKnown(session, dirfd, name);
  const result = renameat2(dirfd, name, newDirfd, newName, flags);
  if (result < 0) return -result;
  const row = rehint(session, newParent, newDirfd, newName, newText);
  // The client's own rename changes the change time, and no data.
  if (known && row >= 0) remember(session.attached, row);
  if ((flags & Rename.EXCHANGE) !== 0) rehint(session, parent, dirfd, name, oldText);
  const w = session.reply(2 * ATTRIBUTE_FIELDS);
  writeDirectory(session, w, parent);
  writeDirectory(session, w, newParent);
  session.send();
  return 0;
}

/** Whether `name` is an inode whose data the client has. */
function isKnown(session: Session, dirfd: number, name: number): boolean {
  if (statName(dirfd, name) !== 0) return false;
  const row = session.attached.nodes.find(identify());
  return row >= 0 && isRemembered(session.attached, row);
}

/** A known node is now seen under another name; its row, or -1. */
function rehint(
  session: Session,
  parent: number,
  dirfd: number,
  name: number,
  text: string,
): number {
  if (statName(dirfd, name) !== 0) return -1;
  const { nodes } = session.attached;
  const row = nodes.find(identify());
  if (row >= 0) nodes.setHint(row, parent, text);
  return row;
}

/** `[node, newParent, newName]` → entry, the parent's attributes */
export function link(session: Session): number {
  const node = session.node();
  const refused = readMaking(session);
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  if (refused !== 0) return refused;
  const fd = session.attached.reach.fdBeside(node, making.parent);
  if (fd < 0) return -fd;
  const result = linkat(fd, EMPTY_PATH, making.dirfd, making.name, AT_EMPTY_PATH);
  if (result < 0) return -result;
  return replyEntry(session, making.parent, making.dirfd, making.name, true);
}
