/**
 * Binding a socket in a directory of the share. Whoever connects asks the kernel what it
 * is connected to (getpeername(2)), and hears what was said to bind(2): the HOST's path,
 * where that has room in an address and is the way to this very directory; else the name.
 */
import { readlinkSync } from "node:fs";
import { PathBuffer } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat2,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/open.ts";
import { bindIn, bindPath } from "../sys/unixsocket.ts";
import { SOCKET_NAME_MAX } from "../wire/limits.ts";
import { identify, keepingStatus, statFd, statName } from "./status.ts";

const paths = new PathBuffer(2);

/** Whether `path` (a byte a character) leads to the directory described last, by no symbolic link. */
function leadsThere(path: string): boolean {
  if (path.length > SOCKET_NAME_MAX) return false;
  const { device, inoHigh, inoLow } = identify();
  const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  const resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const fd = openat2(AT_FDCWD, paths.putLatin1(0, path), flags, 0, resolve);
  if (fd < 0) return false;
  const described = keepingStatus(() => {
    if (statFd(fd) !== 0) return false;
    const found = identify();
    return found.device === device && found.inoHigh === inoHigh && found.inoLow === inoLow;
  });
  close(fd);
  return described;
}

/** The HOST's path of the directory `dirfd`, below that of the export at `root`, if there is one. */
function wayTo(dirfd: number, root: string): string | undefined {
  const link = readlinkSync(`/proc/self/fd/${dirfd}`, { encoding: "buffer" }).toString("latin1");
  if (!link.startsWith("/") || statFd(dirfd) !== 0) return undefined;
  // In a copy of a mount that is nowhere in the tree, paths begin at what was copied.
  const here = Buffer.from(root).toString("latin1");
  const ways = [link, link === "/" ? here : `${here}${link}`];
  return ways.find(leadsThere);
}

/**
 * Binds `fd` to a new file `name` (a byte a character) in the directory `dirfd` of the
 * export at `root`; 0 or -errno.
 */
export function bindThere(fd: number, dirfd: number, name: string, root: string): number {
  const way = wayTo(dirfd, root);
  const path = way === "/" ? `/${name}` : `${way}/${name}`;
  if (way === undefined || path.length > SOCKET_NAME_MAX) return bindIn(fd, dirfd, name);
  const result = bindPath(fd, path);
  if (result !== 0) return result;
  // The directory may have been moved in between: then the socket is not where it was to be.
  return statName(dirfd, paths.putLatin1(1, name)) === 0 ? 0 : -E.ESTALE;
}
