/** What the operations that make something in a directory share: where, whose, and whether it is there already. */
import { E } from "../../sys/errno.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import {
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat,
} from "../../sys/open.ts";
import { DIRENT, getdents64, readlinkat } from "../../sys/tree.ts";
import { FileType } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { asCaller, asServer } from "../caller.ts";
import { isBornSince, noteDone } from "../doubt.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { EMPTY_PATH, group, identify, links, mode, owner, rdev, size, statFd } from "../status.ts";
import { replyEntry } from "./entries.ts";

/** (uid_t)-1, which stands for no user. */
const NO_ID = 0xffff_ffff;
/** Room for an entry of any name. */
const ENTRIES_BYTES = 4096;
const DOTS: ReadonlySet<string> = new Set([".", ".."]);
const NONE = -1;

/** What is to be made, where, and for whom. */
interface Making {
  parent: number;
  dirfd: number;
  /** Address of the name. */
  name: number;
  /** FileType. */
  type: number;
  /** As on the wire, where it is a device. */
  rdev: number;
  /** Where the target is in the request, where it is a symbolic link. */
  targetAt: number;
  targetEnd: number;
  uid: number;
  gid: number;
}

const making: Making = {
  parent: 0,
  dirfd: 0,
  name: 0,
  type: 0,
  rdev: 0,
  targetAt: 0,
  targetEnd: 0,
  uid: 0,
  gid: 0,
};

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

/** A device or a file of `type` is to be made. */
export function makes(type: number, rdev: number): void {
  making.type = type;
  making.rdev = rdev;
}

/** Reads the target of a symbolic link to be made; its address, in path slot 1. */
export function readTarget(session: Session): number {
  const address = session.textAt(1, PATH_MAX);
  makes(FileType.SYMLINK, 0);
  making.targetAt = session.reader.start;
  making.targetEnd = session.reader.at;
  return address;
}

/**
 * Reads `[…, uid, gid, group]`, and one item more with `readMore`, whose result it gives, and
 * acts as that caller, with `umask`, until `asServer`.
 */
export function readCaller(session: Session, umask: number, readMore = () => 0): number {
  const { reader } = session;
  const uid = reader.uint32();
  const gid = reader.uint32();
  const also = reader.int();
  const more = readMore();
  reader.finish();
  // setfsuid(2) ignores it, and what is made would belong to the server.
  if (uid === NO_ID || gid === NO_ID || also >= NO_ID || also < -1) {
    throw new ProtocolError("caller has no valid id");
  }
  making.uid = uid;
  making.gid = gid;
  asCaller(umask, uid, gid, also);
  return more;
}

/** Ends acting as the caller, with `errno`. */
export function refuse(errno: number): number {
  asServer();
  return errno;
}

/** Ends acting as the caller and answers with what was made, given the call's result. */
export function made(session: Session, result: number): number {
  asServer();
  if (result < 0 && !isThere(session, result)) return -result;
  noteDone(session);
  return replyEntry(session, making.parent, making.dirfd, making.name, true);
}

/** Whether the call failed because an earlier run of the request had made it. */
function isThere(session: Session, result: number): boolean {
  if (result !== -E.EEXIST) return false;
  const fd = findMade(session);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/**
 * A descriptor (O_PATH) of what an earlier run of the request in doubt has made, or
 * -1 where what is there was made by somebody else, or there is no doubt. The same
 * made by the same user since the request began cannot be told from it.
 */
export function findMade(session: Session): number {
  if (session.doubtSinceNs === 0) return NONE;
  const fd = openat(making.dirfd, making.name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) return NONE;
  if (isMade(session, fd)) return fd;
  close(fd);
  return NONE;
}

function isMade(session: Session, fd: number): boolean {
  if (statFd(fd) !== 0 || !isBornSince(session) || owner() !== making.uid) return false;
  if ((mode() & FileType.MASK) !== making.type || isKnownElsewhere(session)) return false;
  const gid = group();
  return isAsMade(session, fd) && (gid === making.gid || isGroupOf(making.dirfd, gid));
}

/** Whether what was described last is what the client knows under another name. */
function isKnownElsewhere(session: Session): boolean {
  const { nodes } = session.attached;
  const row = nodes.find(identify(), nodes.mountOf(making.parent));
  if (row < 0) return false;
  return nodes.parent[row] !== making.parent || nodes.nameOf(row) !== session.nameText;
}

/** Whether what was described last, and `fd` is open on, is as the request makes it. */
function isAsMade(session: Session, fd: number): boolean {
  switch (making.type) {
    case FileType.DIRECTORY:
      return isEmpty(fd);
    case FileType.SYMLINK:
      return links() === 1 && hasTarget(session, fd);
    case FileType.REGULAR:
      return links() === 1 && size() === 0;
    case FileType.CHARACTER:
    case FileType.BLOCK:
      return links() === 1 && rdev() === making.rdev;
    default:
      return links() === 1;
  }
}

/** Directories with the set-group-id bit, and file systems mounted so, give what is made their group. */
function isGroupOf(dirfd: number, gid: number): boolean {
  return statFd(dirfd) === 0 && group() === gid;
}

function hasTarget(session: Session, fd: number): boolean {
  const { bytes } = session.reader;
  const target = bytes.subarray(making.targetAt, making.targetEnd);
  const room = allocate(PATH_MAX + 1);
  const length = readlinkat(fd, EMPTY_PATH, room.address, PATH_MAX + 1);
  const same = length === target.length && target.equals(room.bytes.subarray(0, length));
  free(room);
  return same;
}

/** Whether the directory that `fd` (O_PATH) is open on has no entries but the dots. */
function isEmpty(fd: number): boolean {
  const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  const directory = openat(-1, procPath(fd), flags, 0);
  if (directory < 0) return false;
  const room = allocate(ENTRIES_BYTES);
  let got = getdents64(directory, room.address, ENTRIES_BYTES);
  while (got > 0 && hasOnlyDots(room, got)) {
    got = getdents64(directory, room.address, ENTRIES_BYTES);
  }
  free(room);
  close(directory);
  return got === 0;
}

function hasOnlyDots({ bytes, view }: Region, end: number): boolean {
  for (let at = 0; at < end; at += view.getUint16(at + DIRENT.reclen, true)) {
    const name = at + DIRENT.name;
    if (!DOTS.has(bytes.latin1Slice(name, bytes.indexOf(0, name)))) return false;
  }
  return true;
}
