/**
 * Files and directories that programs pass over sockets, as the server describes and
 * opens them. What a program of the DPU passes was opened here when it was asked for
 * (PASS_OPEN), and waits under a key. What one of the HOST passes is told by its path and
 * inode: the client opens it on its mount, and so within the export and its rules or not at all.
 */

import { flagsOfPassed } from "../../bridge/rights/flags.ts";
import type { Described, ShareFiles } from "../../bridge/rights/share.ts";
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  dup,
  F_SETFL,
  fcntlInt,
  O_CLOEXEC,
  O_PATH,
  openat,
} from "../../sys/open.ts";
import { STATX, STATX_INO, STATX_STRUCT_SIZE, statx } from "../../sys/stat.ts";
import { readlinkat } from "../../sys/tree.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import type { Twin } from "./keys.ts";
import { What } from "./messages.ts";

const SLASH = 0x2f;
const link = allocate(PATH_MAX + 1);
const status = allocate(STATX_STRUCT_SIZE);

/** Device and inode of a path below `dirfd` as text, or undefined. */
function identity(dirfd: number, path: string, flags: number): string | undefined {
  if (statx(dirfd, cstring(path), flags, STATX_INO, status.address) < 0) return undefined;
  const { view } = status;
  const device = `${view.getUint32(STATX.devMajor, true)}:${view.getUint32(STATX.devMinor, true)}`;
  return `${device}:${view.getBigUint64(STATX.ino, true)}`;
}

/** `[path, inode]` of what `fd` has open; undefined where no path leads to it. */
function describe(fd: number): Described | undefined {
  const got = readlinkat(AT_FDCWD, cstring(`/proc/self/fd/${fd}`), link.address, PATH_MAX + 1);
  if (got <= 0 || got > PATH_MAX || link.bytes[0] !== SLASH) return undefined;
  const path = Buffer.from(link.bytes.subarray(0, got));
  const text = path.toString("utf8");
  // Another's mount namespace, a file without a name, or a name that is no UTF-8.
  if (!Buffer.from(text).equals(path)) return undefined;
  const own = identity(fd, "", AT_EMPTY_PATH);
  if (own === undefined || identity(AT_FDCWD, text, AT_SYMLINK_NOFOLLOW) !== own) return undefined;
  const inode = Number(status.view.getBigUint64(STATX.ino, true));
  return Number.isSafeInteger(inode) ? [path, inode] : undefined;
}

/** Another descriptor of what `fd` has open, with those of `flags` that PASS_OPEN leaves out. */
function openAs(fd: number, flags: number): number {
  if ((flags & O_PATH) !== 0) {
    return openat(AT_FDCWD, cstring(`/proc/self/fd/${fd}`), O_PATH | O_CLOEXEC, 0);
  }
  const own = dup(fd);
  if (own >= 0) fcntlInt(own, F_SETFL, flags);
  return own;
}

/** The files of one session; `find` looks up keys of its mount's session. */
export function sharedFiles(find: (key: unknown, what: number) => Twin | undefined): ShareFiles {
  return {
    describe: (fd, _, done) => done(describe(fd)),
    open: ([key], flags, done) => {
      const twin = find(key, What.FILE);
      done(twin === undefined ? -E.ESTALE : openAs(twin.fd, flagsOfPassed(flags)));
    },
    close: (fd) => void close(fd),
  };
}
