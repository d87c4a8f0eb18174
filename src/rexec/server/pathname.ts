/** What a descriptor of a program is called, and whether others could change what has that name. */
import { lstatSync, readlinkSync } from "node:fs";
import { PathBuffer } from "../../sys/cstring.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  openat,
} from "../../sys/open.ts";
import {
  S_ISVTX,
  STATX,
  STATX_INO,
  STATX_MNT_ID,
  STATX_STRUCT_SIZE,
  statx,
} from "../../sys/stat.ts";

const paths = new PathBuffer(1);
const facts = allocate(STATX_STRUCT_SIZE);
const WRITABLE_BY_OTHERS = 0o022;

/**
 * The path, free of symbolic links, of what O_PATH descriptor `fd` is of, each character a byte. Empty where
 * this process does not find the same there: it was removed, or belongs to mounts of others,
 * whose paths look like ours (/proc/PID/root leads there).
 */
export function pathOf(fd: number): string {
  const text = readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }).toString("latin1");
  if (!text.startsWith("/")) return "";
  const there = openat(AT_FDCWD, paths.putLatin1(0, text), O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  if (there < 0) return "";
  const isSame = areSame(fd, there);
  close(there);
  return isSame ? text : "";
}

/** Whether both are of the same inode, on the same mount. */
function areSame(fd: number, other: number): boolean {
  const one = identityOf(fd);
  return one !== undefined && one === identityOf(other);
}

function identityOf(fd: number): string | undefined {
  const { address, view } = facts;
  const result = statx(fd, paths.put(0, ""), AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, address);
  if (result < 0) return undefined;
  const [inode, mount] = [STATX.ino, STATX.mntId].map((at) => view.getBigUint64(at, true));
  const [major, minor] = [STATX.devMajor, STATX.devMinor].map((at) => view.getUint32(at, true));
  return `${inode} ${mount} ${major}:${minor}`;
}

/**
 * Whether nobody but root and `uid` can have something else at `path`, which is free of
 * symbolic links: no directory on the way is anybody else's, or lets others exchange what is in it.
 */
export function isSettled(path: string, uid: number): boolean {
  const isOwn = (owner: number) => owner === 0 || owner === uid;
  let isOpenToOthers = false;
  for (let end = 0; end >= 0; end = path.indexOf("/", end + 1)) {
    const { mode, uid: owner, isDirectory } = look(path.slice(0, end === 0 ? 1 : end));
    if (!isDirectory || !isOwn(owner)) return false;
    isOpenToOthers = (mode & WRITABLE_BY_OTHERS) !== 0;
    if (isOpenToOthers && (mode & S_ISVTX) === 0) return false;
  }
  // Of a directory with the sticky bit others can take away only what is theirs.
  return !isOpenToOthers || isOwn(look(path).uid);
}

function look(path: string): { mode: number; uid: number; isDirectory: boolean } {
  try {
    const found = lstatSync(Buffer.from(path, "latin1"));
    return { mode: found.mode, uid: found.uid, isDirectory: found.isDirectory() };
  } catch {
    return { mode: 0, uid: -1, isDirectory: false };
  }
}
