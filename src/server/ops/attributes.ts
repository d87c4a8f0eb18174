/** Operations on an inode's attributes, and on the file system it is in. */

import { SYS } from "../../sys/arch.ts";
import {
  fchmodat,
  fchownat,
  KEEP_OWNER,
  TIMESPEC,
  TIMESPEC_STRUCT_SIZE,
  truncate,
  UTIME_NOW,
  UTIME_OMIT,
  utimensat,
} from "../../sys/attr.ts";
import { E } from "../../sys/errno.ts";
import { dropFsetid, raiseFsetid } from "../../sys/identity.ts";
import { ftruncate } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { AT_EMPTY_PATH, O_DIRECTORY, O_RDONLY } from "../../sys/open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../../sys/stat.ts";
import { ATTRIBUTE_FIELDS, SetAttr } from "../../wire/constants.ts";
import { isRemembered, remember } from "../coherence.ts";
import { HandleFlag } from "../handles.ts";
import { procPath } from "../reach.ts";
import { LATER, type Session } from "../session.ts";
import { EMPTY_PATH, statDevice, statFd, writeBirth } from "../status.ts";

const PERMISSIONS = 0o7777;
const TWO_32 = 0x1_0000_0000;
const times = allocate(2 * TIMESPEC_STRUCT_SIZE);
const statfsBuffer = allocate(STATFS_STRUCT_SIZE);

function replyAttributes(session: Session, node: number): number {
  session.attached.reach.writeAttributes(session.reply(ATTRIBUTE_FIELDS), node);
  session.send();
  return 0;
}

let described = 0;

/** Describes a node, through its handle if one is given; 0 or an errno. */
function describe(session: Session): number {
  const node = session.node();
  described = node;
  const handle = session.handle();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  if (handle < 0) return E.EBADF;
  const { handles, reach } = session.attached;
  if (handle === 0) return -reach.stat(node);
  const fd = handles.fd[handle] as number;
  if (((handles.flags[handle] as number) & HandleFlag.DEVICE) !== 0) return -statDevice(fd);
  return fd < 0 ? -fd : -statFd(fd);
}

/** `[node, handle or 0]` → attributes */
export function getattr(session: Session): number {
  return describe(session) || replyAttributes(session, described);
}

/** `[node, handle or 0]` → attributes, born (0|1), birth, birthNs, STATX_ATTR_* */
export function statxOp(session: Session): number {
  const errno = describe(session);
  if (errno !== 0) return errno;
  const w = session.reply(ATTRIBUTE_FIELDS + 4);
  session.attached.reach.writeAttributes(w, described);
  writeBirth(w);
  session.send();
  return 0;
}

function putTime(at: number, seconds: number, nanoseconds: number): void {
  times.view.setUint32(at + TIMESPEC.sec, seconds >>> 0, true);
  times.view.setInt32(at + TIMESPEC.sec + 4, Math.floor(seconds / TWO_32), true);
  times.view.setUint32(at + TIMESPEC.nsec, nanoseconds, true);
  times.view.setUint32(at + TIMESPEC.nsec + 4, 0, true);
}

interface Changes {
  valid: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
}

const changes: Changes = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0 };

/** Reads `[…, valid, mode, uid, gid, size, atime, atimeNs, mtime, mtimeNs]`. */
function readChanges(session: Session): void {
  const { reader } = session;
  changes.valid = reader.uint32();
  changes.mode = reader.uint32();
  changes.uid = reader.uint32();
  changes.gid = reader.uint32();
  changes.size = reader.uint();
  const { valid } = changes;
  const atime = valid & SetAttr.ATIME_NOW ? UTIME_NOW : valid & SetAttr.ATIME ? 0 : UTIME_OMIT;
  const mtime = valid & SetAttr.MTIME_NOW ? UTIME_NOW : valid & SetAttr.MTIME ? 0 : UTIME_OMIT;
  const atimeSeconds = reader.int();
  putTime(0, atimeSeconds, atime || reader.uint32());
  if (atime !== 0) reader.uint32();
  const mtimeSeconds = reader.int();
  putTime(TIMESPEC_STRUCT_SIZE, mtimeSeconds, mtime || reader.uint32());
  if (mtime !== 0) reader.uint32();
  reader.finish();
}

const SETS_TIME = SetAttr.ATIME | SetAttr.ATIME_NOW | SetAttr.MTIME | SetAttr.MTIME_NOW;

/** Makes the changes read last on `fd`, or on `handleFd` where a size is set; 0 or -errno. */
function apply(fd: number, handleFd: number): number {
  const { valid } = changes;
  let result = 0;
  if (valid & (SetAttr.UID | SetAttr.GID)) {
    const uid = valid & SetAttr.UID ? changes.uid : KEEP_OWNER;
    const gid = valid & SetAttr.GID ? changes.gid : KEEP_OWNER;
    result = fchownat(fd, EMPTY_PATH, uid, gid, AT_EMPTY_PATH);
  }
  if (result === 0 && valid & SetAttr.MODE) {
    result = fchmodat(-1, procPath(fd), changes.mode & PERMISSIONS);
  }
  if (result === 0 && valid & SetAttr.SIZE) {
    const kill = (valid & SetAttr.KILL_SUIDGID) !== 0;
    if (kill) dropFsetid();
    result =
      handleFd >= 0 ? ftruncate(handleFd, changes.size) : truncate(procPath(fd), changes.size);
    if (kill) raiseFsetid();
  }
  if (result === 0 && valid & SETS_TIME) result = utimensat(-1, procPath(fd), times.address, 0);
  return result;
}

/** `[node, handle or 0, valid, mode, uid, gid, size, atime, atimeNs, mtime, mtimeNs]` → attributes */
export function setattr(session: Session): number {
  const node = session.node();
  const handle = session.handle();
  readChanges(session);
  if (node < 0) return E.ESTALE;
  if (handle < 0) return E.EBADF;
  const { handles, reach, readOnly } = session.attached;
  if (readOnly) return E.EROFS;
  // It looks like a file, so programs that copy to it cut it as they would a file.
  const isDevice = ((handles.flags[handle] as number) & HandleFlag.DEVICE) !== 0;
  if (isDevice) changes.valid &= ~SetAttr.SIZE;
  const handleFd = handle > 0 ? (handles.fd[handle] as number) : -1;
  const fd = handle > 0 ? handleFd : reach.fd(node);
  if (fd < 0) return -fd;
  // A change of the client's own leaves its cached data as true as it was.
  const known = statFd(fd) === 0 && isRemembered(session.attached, node);
  const result = apply(fd, handleFd);
  if (result < 0) return -result;
  statFd(fd);
  if (known) remember(session.attached, node);
  return replyAttributes(session, node);
}

function statfsField(at: number): number {
  const { view } = statfsBuffer;
  return view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
}

/** `[node]` → blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, type (f_type) */
export function statfs(session: Session): number {
  const node = session.node();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const fd = session.attached.reach.fd(node);
  return fd < 0 ? -fd : replyStatfs(session, fd, []);
}

/** Answers with what fstatfs(2) says of `fd`, and `further` fields of 64 bits (STATFS); or an errno. */
export function replyStatfs(session: Session, fd: number, further: readonly number[]): number {
  const result = fstatfs(fd, statfsBuffer.address);
  if (result < 0) return -result;
  const { blocks, bfree, bavail, files, ffree } = STATFS;
  const w = session.reply(9 + further.length);
  for (const at of [blocks, bfree, bavail, files, ffree, ...further]) {
    w.uint64(statfsBuffer.view.getUint32(at + 4, true), statfsBuffer.view.getUint32(at, true));
  }
  w.uint(statfsField(STATFS.bsize));
  w.uint(statfsField(STATFS.namelen));
  w.uint(statfsField(STATFS.frsize));
  w.uint(statfsBuffer.view.getUint32(STATFS.type, true));
  session.send();
  return 0;
}

/** `[node]`, a directory → nothing, once the file system has reached its disk */
export function syncfsOp(session: Session): number {
  const node = session.node();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  // Of a directory only: opening a FIFO would wait, opening a device do who knows what.
  const fd = session.attached.reach.open(node, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return -fd;
  session.services.calls.start(session, SYS.syncfs, [fd], {
    closes: fd,
    done: (result) => finishSync(session, result),
  });
  return LATER;
}

/** Answers an operation that has nothing to say but its result. */
export function finishSync(session: Session, result: number): void {
  if (result < 0) {
    session.fail(-result);
    return;
  }
  session.reply(0);
  session.send();
}
