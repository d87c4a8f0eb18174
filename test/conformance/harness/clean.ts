/** Brings a worker or an actor back to where it was before a case. */

import type { Path } from "../posix/arena.ts";
import { bytesOf } from "../posix/arena.ts";
import {
  AT_FDCWD,
  DT_DIR,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFDIR,
  S_IFMT,
} from "../posix/constants.ts";
import { close, closeLeftOpen } from "../posix/descriptors.ts";
import { readAll } from "../posix/directory.ts";
import { unmapLeftOver } from "../posix/map.ts";
import { openat } from "../posix/open.ts";
import { lstat } from "../posix/stat.ts";
import { fchdir, rmdir, umask, unlink } from "../posix/tree.ts";

const UMASK = 0o022;

/** Lets go of all that the last case held, and goes back to `scratch`. */
export function forgetCase(scratch: number): void {
  unmapLeftOver();
  closeLeftOpen();
  umask(UMASK);
  fchdir(scratch);
}

/** Removes a directory with all in it, by descriptors and bytes: names may be any, paths long. */
export function removeTree(path: Path, parent = AT_FDCWD): void {
  const fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const entry of readAll(fd)) {
    const name = bytesOf(entry.name);
    if (name.equals(DOT) || name.equals(DOT_DOT)) continue;
    if (isDirectory(entry.type, name, fd)) removeTree(name, fd);
    else unlink(name, fd);
  }
  close(fd);
  rmdir(path, parent);
}

const DOT = Buffer.from(".");
const DOT_DOT = Buffer.from("..");

function isDirectory(type: number, name: Buffer, parent: number): boolean {
  if (type !== 0) return type === DT_DIR;
  return (lstat(name, parent).mode & S_IFMT) === S_IFDIR;
}
