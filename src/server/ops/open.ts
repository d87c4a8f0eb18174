/** Opening and creating files, and what becomes of the client's cached data. */

import { E } from "../../sys/errno.ts";
import { dropFsetid, raiseFsetid } from "../../sys/identity.ts";
import { ftruncate, pread } from "../../sys/io.ts";
import {
  close,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_TMPFILE,
  openat,
} from "../../sys/open.ts";
import { FileType, OpenFlag, OpenResult, Policy } from "../../wire/constants.ts";
import { asServer } from "../caller.ts";
import { cacheResult, distrust, remember, wasSeen } from "../coherence.ts";
import { note, releaseNoted } from "../doubt.ts";
import { HandleFlag } from "../handles.ts";
import { hostFlags } from "../hostflags.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { mode, size, statFd } from "../status.ts";
import type { Tree } from "../tree.ts";
import { isDevice, openDevice } from "./devices.ts";
import { ENTRY_RESULTS, enter, MADE_RESULTS, writeDirectory, writeEntry } from "./entries.ts";
import { findMade, makes, place, readCaller, readMaking, refuse } from "./making.ts";

const PERMISSIONS = 0o7777;
/** A whole file of at most this size travels with the answer to OPEN. */
export const INLINE_DATA_MAX = 16 * 1024;
const OPEN_RESULTS = 2;
/** A file of cgroup version 1 that would take the numbers written to it for descriptors of the server's. */
const TAKES_DESCRIPTORS = "cgroup.event_control";

function handleFlags(tree: Tree, row: number, flags: number): number {
  let result = flags & OpenFlag.WRITE ? HandleFlag.WRITABLE : 0;
  if (flags & OpenFlag.APPEND) result |= HandleFlag.APPEND;
  if (flags & OpenFlag.SYNC) result |= HandleFlag.SYNC;
  else if (flags & OpenFlag.DSYNC) result |= HandleFlag.DSYNC;
  if (flags & OpenFlag.READ && tree.reach.policy(row) !== Policy.LIVE) {
    result |= HandleFlag.SENDABLE;
  }
  if (tree.reach.policy(row) === Policy.LIVE) result |= HandleFlag.LIVE;
  return result;
}

/** Opens the file of `row` for `uid`:`gid`; the descriptor or -errno. It is described then. */
function openFile(tree: Tree, row: number, flags: number, uid: number, gid: number): number {
  const { nodes, reach } = tree;
  const host = hostFlags(flags) | O_NONBLOCK;
  const isLive = reach.policy(row) === Policy.LIVE;
  if (isLive && flags & OpenFlag.WRITE && nodes.nameOf(row) === TAKES_DESCRIPTORS) {
    return -E.EOPNOTSUPP;
  }
  const asCaller = isLive && uid !== 0;
  const fd = asCaller ? reach.openAs(row, host, uid, gid) : reach.open(row, host);
  if (fd < 0) return fd;
  if ((mode() & FileType.MASK) === FileType.REGULAR) return fd;
  close(fd);
  return -E.ESTALE;
}

function truncateOpened(fd: number, flags: number): number {
  const kill = (flags & OpenFlag.KILL_SUIDGID) !== 0;
  if (kill) dropFsetid();
  const result = ftruncate(fd, 0);
  if (kill) raiseFsetid();
  if (result === 0) statFd(fd);
  return result;
}

/** Adds a handle for `fd`, owned from now on; -1 when there are too many. */
function addHandle(
  session: Session,
  fd: number,
  row: number,
  flags: number,
  uid = 0,
  gid = 0,
): number {
  const tree = session.attached;
  const handle = tree.handles.add(fd, row, handleFlags(tree, row, flags), flags, uid, gid);
  if (handle < 0) {
    close(fd);
    return handle;
  }
  note(session, handle);
  tree.mounts?.opened(tree.nodes.mountOf(row));
  return handle;
}

/** What an earlier run of the OPEN in doubt did was never told. */
function forgetOpened(session: Session, row: number): void {
  releaseNoted(session);
  distrust(session.attached, row);
}

/** Opens what is no file, and described: a device where the export allows that, nothing else. */
function openSpecial(session: Session, row: number, flags: number): number {
  return isDevice(mode()) ? openDevice(session, row, flags) : E.ESTALE;
}

/** `[node, flags, wantsData (0|1), uid, gid]` → handle, OpenResult; payload: a small file's data */
export function open(session: Session): number {
  const row = session.node();
  const flags = session.reader.uint32();
  const wantsData = session.reader.uint() !== 0;
  const uid = session.reader.uint32();
  const gid = session.reader.uint32();
  session.reader.finish();
  if (row < 0) return E.ESTALE;
  const tree = session.attached;
  if (tree.readOnly && (flags & (OpenFlag.WRITE | OpenFlag.TRUNCATE)) !== 0) return E.EROFS;
  if (session.doubtSinceNs !== 0) forgetOpened(session, row);
  if (tree.reach.isSpecial(row)) return openSpecial(session, row, flags);
  const truncates = (flags & OpenFlag.TRUNCATE) !== 0;
  const fd = openFile(tree, row, truncates ? flags | OpenFlag.WRITE : flags, uid, gid);
  if (fd < 0) return -fd;
  const truncated = truncates ? truncateOpened(fd, flags) : 0;
  if (truncated < 0) {
    close(fd);
    return -truncated;
  }
  // Only a file that nobody there had open yet can be put into the client's
  // page cache: the kernel would wait for reads under way (client/notices.ts).
  const first = !wasSeen(tree, row);
  const result = cacheResult(tree, row);
  remember(tree, row);
  const bytes = size();
  const handle = addHandle(session, fd, row, flags, uid, gid);
  if (handle < 0) return E.ENFILE;
  const w = session.reply(OPEN_RESULTS);
  w.uint(tree.handles.number(handle));
  w.uint(result);
  const cached = (result & (OpenResult.UNSIZED | OpenResult.KEEP_CACHE)) === 0;
  const inline = wantsData && first && cached && bytes > 0 && bytes <= INLINE_DATA_MAX;
  if (!inline) {
    session.send();
    return 0;
  }
  session.keepReply();
  const got = pread(fd, session.transport.payloadRoom(), bytes, 0);
  session.transport.endInline(got === bytes ? got : 0);
  return 0;
}

/** `parent`: the directory whose entry was made, or -1 for a file without a name. */
function replyCreated(
  session: Session,
  fd: number,
  row: number,
  flags: number,
  parent: number,
): number {
  const handle = addHandle(session, fd, row, flags);
  if (handle < 0) return E.ENFILE;
  remember(session.attached, row);
  const entry = parent < 0 ? ENTRY_RESULTS : MADE_RESULTS;
  const w = session.reply(entry + OPEN_RESULTS);
  writeEntry(session, w, row);
  w.uint(session.attached.handles.number(handle));
  w.uint(OpenResult.KEEP_CACHE);
  if (parent >= 0) writeDirectory(session, w, parent);
  session.send();
  return 0;
}

/** `[parent, name, flags, mode, umask, uid, gid, group]` → entry, handle, OpenResult, the parent's attributes */
export function create(session: Session): number {
  const refused = readMaking(session);
  const flags = session.reader.uint32();
  const permissions = session.reader.uint32() & PERMISSIONS;
  const host = hostFlags(flags);
  makes(FileType.REGULAR, 0);
  readCaller(session, session.reader.uint32());
  if (refused !== 0) return refuse(refused);
  if (session.doubtSinceNs !== 0) releaseNoted(session);
  const { parent, dirfd, name } = place();
  let fd = openat(dirfd, name, host | O_CREAT | O_EXCL | O_NOFOLLOW, permissions);
  asServer();
  if (fd === -E.EEXIST) fd = openMade(session, host);
  // A file that appeared meanwhile is found by the lookup that follows ESTALE,
  // and opened with the permission check that an existing file wants.
  if (fd === -E.EEXIST && (flags & OpenFlag.EXCLUSIVE) === 0) return E.ESTALE;
  if (fd < 0) return -fd;
  statFd(fd);
  const row = enter(session, parent, session.nameText);
  session.attached.watched.register(parent, dirfd);
  if (row < 0) {
    close(fd);
    return E.ENOMEM;
  }
  return replyCreated(session, fd, row, flags, parent);
}

/** Opens the file that an earlier run of the CREATE in doubt has made; EEXIST where it has not. */
function openMade(session: Session, host: number): number {
  const found = findMade(session);
  if (found < 0) return -E.EEXIST;
  const fd = openat(-1, procPath(found), host | O_NONBLOCK, 0);
  close(found);
  return fd;
}

/** `[parent, flags, mode, umask, uid, gid, group]` → entry, handle, OpenResult */
export function tmpfile(session: Session): number {
  const parent = session.node();
  const flags = session.reader.uint32();
  const permissions = session.reader.uint32() & PERMISSIONS;
  let host = hostFlags(flags) | O_TMPFILE;
  if (flags & OpenFlag.EXCLUSIVE) host |= O_EXCL;
  const tree = session.attached;
  const dirfd = parent < 0 ? -E.ESTALE : tree.readOnly ? -E.EROFS : tree.reach.fd(parent);
  readCaller(session, session.reader.uint32());
  // The file of an earlier run is gone: it never had a name.
  if (session.doubtSinceNs !== 0) releaseNoted(session);
  const fd = dirfd < 0 ? dirfd : openat(-1, procPath(dirfd), host, permissions);
  asServer();
  if (fd < 0) return -fd;
  statFd(fd);
  const row = enter(session, -1, "");
  if (row < 0) {
    close(fd);
    return E.ENOMEM;
  }
  return replyCreated(session, fd, row, flags, -1);
}
