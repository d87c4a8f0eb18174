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
import { ATTRIBUTE_FIELDS, FileType, Rename } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import type { Writer } from "../../wire/writer.ts";
import { isRemembered, remember } from "../coherence.ts";
import { fingerprint, isChangedSince, isDone, NOTHING, note, noteDone, noted } from "../doubt.ts";
import type { Session } from "../session.ts";
import { EMPTY_PATH, hasAliases, identify, statName } from "../status.ts";
import { replyEntry, writeDirectory } from "./entries.ts";
import { made, makes, place, readCaller, readMaking, readTarget, refuse } from "./making.ts";

const PERMISSIONS = 0o7777;
const NONE = -1;

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

/** `[parent, name, mode, rdev, umask, uid, gid, group]` → entry, the parent's attributes */
export function mknod(session: Session): number {
  const refused = readMaking(session);
  const mode = session.reader.uint32();
  const rdev = session.reader.uint32();
  const type = mode & FileType.MASK;
  if (type === FileType.DIRECTORY || type === FileType.SYMLINK) {
    throw new ProtocolError("MKNOD of a directory or link");
  }
  makes(type === 0 ? FileType.REGULAR : type, rdev);
  readCaller(session, session.reader.uint32());
  if (refused !== 0) return refuse(refused);
  const device = makedev(rdev >>> 20, rdev & 0xf_ffff);
  const { dirfd, name } = place();
  return made(session, isDone(session) ? 0 : mknodat(dirfd, name, mode & 0o177777, device));
}

/** `[parent, name, mode, umask, uid, gid, group]` → entry, the parent's attributes */
export function mkdir(session: Session): number {
  const refused = readMaking(session);
  const mode = session.reader.uint32();
  makes(FileType.DIRECTORY, 0);
  readCaller(session, session.reader.uint32());
  if (refused !== 0) return refuse(refused);
  const { dirfd, name } = place();
  return made(session, isDone(session) ? 0 : mkdirat(dirfd, name, mode & PERMISSIONS));
}

/** `[parent, name, target, uid, gid, group]` → entry, the parent's attributes */
export function symlink(session: Session): number {
  const refused = readMaking(session);
  const target = readTarget(session);
  readCaller(session, 0);
  if (refused !== 0) return refuse(refused);
  const { dirfd, name } = place();
  return made(session, isDone(session) ? 0 : symlinkat(target, dirfd, name));
}

/**
 * What was described last, a known inode perhaps, is about to lose a name in
 * `parent`: a descriptor keeps it within reach of those who still use it (a
 * working directory, an open file). Its row if it is a file that has other names,
 * or -1.
 */
function holdOn(session: Session, parent: number, otherParent: number): number {
  const { nodes, reach } = session.attached;
  const row = nodes.find(identify(), nodes.mountOf(parent));
  const keepsNames = hasAliases();
  if (row >= 0) reach.hold(row, parent, otherParent);
  return keepsNames ? row : NONE;
}

/** Writes the node `row` that has lost one of its names and has others, or none. */
function writeLoser(session: Session, w: Writer, row: number): void {
  if (row < 0) w.uint64(0, 0);
  else w.uint64(session.attached.nodes.high(row), row);
}

/** Whether an earlier run of the request has removed `name`: what is there by now is another's. */
function wasRemoved(session: Session, dirfd: number, name: number): boolean {
  const inode = session.doubtSinceNs === 0 ? NOTHING : noted(session);
  if (inode === NOTHING) return false;
  const result = statName(dirfd, name);
  return result === 0 ? fingerprint(identify()) !== inode : result === -E.ENOENT;
}

function remove(session: Session, flags: number): number {
  const refused = readMaking(session);
  session.reader.finish();
  if (refused !== 0) return refused;
  const { parent, dirfd, name } = place();
  let loser = NONE;
  if (!wasRemoved(session, dirfd, name)) {
    if (statName(dirfd, name) === 0) {
      note(session, fingerprint(identify()));
      loser = holdOn(session, parent, parent);
    }
    const result = unlinkat(dirfd, name, flags);
    if (result < 0) return -result;
  }
  const w = session.reply(ATTRIBUTE_FIELDS + 1);
  writeDirectory(session, w, parent);
  writeLoser(session, w, loser);
  session.send();
  return 0;
}

/** `[parent, name]` → the parent's attributes, the node that has lost a name */
export function unlink(session: Session): number {
  return remove(session, 0);
}

/** `[parent, name]` → the parent's attributes, 0 */
export function rmdir(session: Session): number {
  return remove(session, AT_REMOVEDIR);
}

/** `[parent, name, newParent, newName, flags]` → attributes of both parents, the node that has lost a name */
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
  let known = false;
  let loser = NONE;
  if (!wasRenamed(session, dirfd, name, newDirfd, newName)) {
    if (statName(newDirfd, newName) === 0) loser = holdOn(session, newParent, parent);
    if ((flags & Rename.EXCHANGE) !== 0) loser = NONE;
    known = noteRenamed(session, parent, dirfd, name);
    const result = renameat2(dirfd, name, newDirfd, newName, flags);
    if (result < 0) return -result;
  }
  const row = rehint(session, newParent, newDirfd, newName, newText);
  // The client's own rename changes the change time, and no data.
  if (known && row >= 0) remember(session.attached, row);
  if ((flags & Rename.EXCHANGE) !== 0) rehint(session, parent, dirfd, name, oldText);
  const w = session.reply(2 * ATTRIBUTE_FIELDS + 1);
  writeDirectory(session, w, parent);
  writeDirectory(session, w, newParent);
  writeLoser(session, w, loser);
  session.send();
  return 0;
}

/**
 * Whether an earlier run of the request has renamed what it noted, in whichever way:
 * it is not there any more and has the new name, or somebody took it from there.
 * Of two names of one inode both stay, then as before (rename(2)).
 */
function wasRenamed(
  session: Session,
  dirfd: number,
  name: number,
  newDirfd: number,
  newName: number,
): boolean {
  const inode = session.doubtSinceNs === 0 ? NOTHING : noted(session);
  if (inode === NOTHING || isInode(dirfd, name, inode)) return false;
  return statName(dirfd, name) === -E.ENOENT || isInode(newDirfd, newName, inode);
}

/** Whether `name` is the inode that `fingerprint` gave `inode` for. */
function isInode(dirfd: number, name: number, inode: number): boolean {
  return statName(dirfd, name) === 0 && fingerprint(identify()) === inode;
}

/** Notes which inode `name` is, which is about to be renamed; whether the client has its data. */
function noteRenamed(session: Session, parent: number, dirfd: number, name: number): boolean {
  if (statName(dirfd, name) !== 0) return false;
  const id = identify();
  note(session, fingerprint(id));
  const { nodes } = session.attached;
  const row = nodes.find(id, nodes.mountOf(parent));
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
  const row = nodes.find(identify(), nodes.mountOf(parent));
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
  const { parent, dirfd, name } = place();
  const result = isDone(session) ? 0 : makeLink(session, node);
  if (result < 0 && !(result === -E.EEXIST && wasLinked(session, node))) return -result;
  noteDone(session);
  return replyEntry(session, parent, dirfd, name, true);
}

function makeLink(session: Session, node: number): number {
  const { parent, dirfd, name } = place();
  const fd = session.attached.reach.fdBeside(node, parent);
  return fd < 0 ? fd : linkat(fd, EMPTY_PATH, dirfd, name, AT_EMPTY_PATH);
}

/** Whether an earlier run of the request has made its name a link to `node`. */
function wasLinked(session: Session, node: number): boolean {
  if (session.doubtSinceNs === 0) return false;
  const { dirfd, name } = place();
  if (statName(dirfd, name) !== 0) return false;
  return session.attached.nodes.matches(node, identify()) && isChangedSince(session);
}
