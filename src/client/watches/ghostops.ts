/**
 * The operation that has the kernel tell a happening (fs/notify, linux/fsnotify.h), and
 * nothing else if possible:
 *
 * | happening | operation | told |
 * | --- | --- | --- |
 * | CREATE | mknod, mkdir | IN_CREATE |
 * | DELETE, DELETE_SELF | unlink, rmdir | IN_DELETE; IN_ATTRIB and IN_DELETE_SELF of the inode |
 * | MOVE, MOVE_SELF | rename, one end of it elsewhere | IN_MOVED_FROM, IN_MOVED_TO, IN_MOVE_SELF |
 * | MODIFY | utimensat of the modification time alone | IN_MODIFY |
 * | ATTRIB | utimensat of both times | IN_ATTRIB |
 * | CLOSE_WRITE | open for writing, close | IN_OPEN, IN_CLOSE_WRITE |
 */
import { TIMESPEC, TIMESPEC_STRUCT_SIZE, UTIME_OMIT, utimensat } from "../../sys/attr.ts";
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_REMOVEDIR,
  AT_STATX_DONT_SYNC,
  close,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_WRONLY,
  openat,
} from "../../sys/open.ts";
import {
  S_IFMT,
  S_IFREG,
  STATX,
  STATX_BASIC_STATS,
  STATX_STRUCT_SIZE,
  statx,
} from "../../sys/stat.ts";
import { mkdirat, mknodat, readlinkat, renameat2, unlinkat } from "../../sys/tree.ts";
import { Happening } from "../../wire/constants.ts";
import { type GhostChannel, type Happened, Root } from "./ghostchannel.ts";
import type { GhostMount } from "./ghostmount.ts";

const PATH_MAX = 4096;
const DELETED = " (deleted)";
const names = new PathBuffer(2);
const link = allocate(PATH_MAX);
const status = allocate(STATX_STRUCT_SIZE);
/** Any time but UTIME_OMIT is an event; what it is, is not looked at (ghosts.ts). */
const bothTimes = allocate(2 * TIMESPEC_STRUCT_SIZE);
const modifiedTime = allocate(2 * TIMESPEC_STRUCT_SIZE);
modifiedTime.view.setBigInt64(TIMESPEC.nsec, BigInt(UTIME_OMIT), true);

export class GhostOps {
  readonly #channel: GhostChannel;
  #elsewhere = 0;

  constructor(channel: GhostChannel) {
    this.#channel = channel;
  }

  /** Repeats what happened on the mount: 0 or -errno. */
  repeat(mount: GhostMount, happened: Happened): number {
    const { kinds, high, low, name, toHigh, toLow, toName, roots } = happened;
    const isRoot = (roots & Root.FROM) !== 0;
    const from = () => (isRoot ? mount.root() : mount.node(high, low));
    const to = () => ((roots & Root.TO) !== 0 ? mount.root() : mount.node(toHigh, toLow));
    if ((kinds & Happening.MOVE) === 0) {
      return using(from, (fd) =>
        name === "" ? this.#self(mount, kinds, fd) : this.#entry(kinds, fd, name),
      );
    }
    const hidden = low === 0 || toLow === 0 ? mount.hidden() : 0;
    if (hidden < 0) return hidden;
    if (low === 0) return using(to, (fd) => this.#move(hidden, "", fd, toName));
    if (toLow === 0) return using(from, (fd) => this.#move(fd, name, hidden, ""));
    return using(from, (old) => using(to, (next) => this.#move(old, name, next, toName)));
  }

  /** Makes the one call that is answered without being carried out. */
  #ghostly(call: () => number): number {
    this.#channel.repeating = true;
    const result = call();
    this.#channel.repeating = false;
    return result;
  }

  #move(from: number, name: string, to: number, toName: string): number {
    const old = names.putLatin1(0, name || this.#somewhere());
    const next = names.putLatin1(1, toName || this.#somewhere());
    return this.#ghostly(() => renameat2(from, old, to, next, 0));
  }

  /** A name that was not used elsewhere before. */
  #somewhere(): string {
    return `${++this.#elsewhere}`;
  }

  #entry(kinds: number, fd: number, name: string): number {
    const path = names.putLatin1(0, name);
    const isDirectory = (kinds & Happening.DIRECTORY) !== 0;
    if ((kinds & Happening.CREATE) !== 0) {
      return this.#ghostly(() =>
        isDirectory ? mkdirat(fd, path, 0o700) : mknodat(fd, path, S_IFREG | 0o600, 0),
      );
    }
    if ((kinds & Happening.DELETE) !== 0) {
      return this.#ghostly(() => unlinkat(fd, path, isDirectory ? AT_REMOVEDIR : 0));
    }
    return using(
      () => this.#ghostly(() => openat(fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0)),
      (entry) => this.#inode(kinds, entry),
    );
  }

  #self(mount: GhostMount, kinds: number, fd: number): number {
    const isGone = (kinds & Happening.DELETE_SELF) !== 0;
    if (!isGone && (kinds & Happening.MOVE_SELF) === 0) return this.#inode(kinds, fd);
    const got = readlinkat(-1, cstring(`/proc/thread-self/fd/${fd}`), link.address, PATH_MAX);
    if (got < 0) return got;
    const path = link.bytes.latin1Slice(0, got);
    // Its name went already, with the entry of its directory.
    if (path.endsWith(DELETED) || path === "/") return 0;
    const cut = path.lastIndexOf("/");
    const where = names.putLatin1(0, `.${path.slice(0, cut)}`);
    const name = path.slice(cut + 1);
    const removed = Happening.DELETE | (kinds & Happening.DIRECTORY);
    const hidden = isGone ? 0 : mount.hidden();
    if (hidden < 0) return hidden;
    return using(
      () => mount.under(where),
      (parent) =>
        isGone ? this.#entry(removed, parent, name) : this.#move(parent, name, hidden, ""),
    );
  }

  /** What happens to an inode without a change of its names. */
  #inode(kinds: number, fd: number): number {
    // In case that it is gone by now, and the server has nothing to say of it.
    const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    const found = statx(fd, cstring(""), flags, STATX_BASIC_STATS, status.address);
    if (found < 0) return found;
    this.#channel.status = status.bytes;
    if ((kinds & Happening.CLOSE_WRITE) !== 0) return this.#closeWrite(fd);
    const times = (kinds & Happening.MODIFY) !== 0 ? modifiedTime : bothTimes;
    return this.#ghostly(() => utimensat(fd, cstring(""), times.address, AT_EMPTY_PATH));
  }

  #closeWrite(fd: number): number {
    // Anything else does something when it is opened.
    if ((status.view.getUint16(STATX.mode, true) & S_IFMT) !== S_IFREG) return -E.EINVAL;
    const path = cstring(`/proc/thread-self/fd/${fd}`);
    const opened = this.#ghostly(() => openat(-1, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0));
    return opened < 0 ? opened : this.#ghostly(() => close(opened));
  }
}

/** Calls `use` with what `open` opens, and closes that; or its -errno. */
function using(open: () => number, use: (fd: number) => number): number {
  const fd = open();
  if (fd < 0) return fd;
  const result = use(fd);
  close(fd);
  return result;
}
