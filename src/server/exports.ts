/** What of the HOST may be attached to, and how a client's SRC finds it. */
import { readlinkSync } from "node:fs";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
} from "../sys/open.ts";
import type { OperationClass } from "./classes.ts";
import { isProcfs } from "./magic.ts";
import { identify, statFd } from "./status.ts";

/** One exported directory. */
export interface Export {
  /** Absolute path on the HOST. */
  path: string;
  readOnly: boolean;
  /** What clients may do beside using files; nothing unless given. */
  allow?: readonly OperationClass[];
  /**
   * Whether magic links of a procfs in it are followed, wherever they lead; if not said,
   * those of an export of a procfs or of all files (/) that may be written to.
   */
  magicLinks?: boolean;
}

/** What a client attaches to: an O_PATH descriptor, owned by the caller. */
export interface Root {
  fd: number;
  path: string;
  readOnly: boolean;
  allow: readonly OperationClass[];
  /** Whether magic links are followed. */
  follows: boolean;
}

const DIRECTORY = O_PATH | O_DIRECTORY | O_CLOEXEC;

function sameInode(a: number, b: number): boolean {
  if (statFd(a) !== 0) return false;
  const first = { ...identify() };
  if (statFd(b) !== 0) return false;
  const second = identify();
  return (
    first.device === second.device &&
    first.inoLow === second.inoLow &&
    first.inoHigh === second.inoHigh
  );
}

/** An export as it is now. */
interface Opened {
  readonly export: Export;
  readonly real: string;
  readonly fd: number;
}

function openExport(entry: Export): Opened | undefined {
  const fd = openat(AT_FDCWD, cstring(entry.path), DIRECTORY, 0);
  if (fd < 0) return undefined;
  return { export: entry, real: readlinkSync(`/proc/self/fd/${fd}`), fd };
}

/** Throws a sentence for an export that is no directory. */
export function checkExports(list: readonly Export[]): void {
  for (const entry of list) {
    const opened = openExport(entry);
    if (opened === undefined) {
      throw new Error(`Cannot export ${entry.path}: it is not a directory of this machine`);
    }
    close(opened.fd);
  }
}

/**
 * The directory `path` of the HOST, if it is beneath an export; or an errno:
 * EACCES for all that is not, whether or not it exists. Exports are what their
 * paths name now, so what was mounted there meanwhile is seen.
 *
 * The path chooses the export; that the result is beneath it is shown by
 * opening it once more from the export's descriptor (openat2, RESOLVE_BENEATH)
 * and comparing inodes, not by the path's text.
 */
export function openRoot(list: readonly Export[], path: string): Root | number {
  if (!path.startsWith("/") || path.includes("\0")) return E.EINVAL;
  const opened = list.map(openExport).filter((entry) => entry !== undefined);
  const seen = openat(AT_FDCWD, cstring(path), DIRECTORY, 0);
  try {
    if (seen < 0) return reason(opened, path);
    return beneath(opened, seen, readlinkSync(`/proc/self/fd/${seen}`));
  } finally {
    if (seen >= 0) close(seen);
    for (const entry of opened) close(entry.fd);
  }
}

/** errno for a path that leads nowhere: the truth beneath an export, EACCES elsewhere. */
function reason(opened: readonly Opened[], path: string): number {
  for (const entry of opened) {
    const top = [entry.export.path, entry.real].find((p) => isBelow(path, p));
    if (top === undefined) continue;
    const fd = openBeneath(entry.fd, path.slice(top.length));
    if (fd >= 0) close(fd);
    // EXDEV: it leaves the export, and what is there is nobody's business.
    else if (fd !== -E.EXDEV) return -fd;
  }
  return E.EACCES;
}

function beneath(opened: readonly Opened[], seen: number, real: string): Root | number {
  const candidates = opened
    .filter((entry) => isBelow(real, entry.real))
    .sort((a, b) => b.real.length - a.real.length);
  for (const entry of candidates) {
    const fd = openBeneath(entry.fd, real.slice(entry.real.length));
    if (fd < 0) continue;
    if (sameInode(fd, seen)) return rootOf(entry, fd, real);
    close(fd);
  }
  return E.EACCES;
}

function rootOf(
  { export: { allow = [], magicLinks, readOnly }, real }: Opened,
  fd: number,
  path: string,
): Root {
  // Whoever may write to a procfs can have the HOST's kernel run anything (core_pattern).
  const isAll = !readOnly && (real === "/" || isProcfs(fd));
  return { fd, path, readOnly, allow, follows: magicLinks ?? isAll };
}

/** Opens the directory `rest` of an export, never one outside it. */
function openBeneath(exportFd: number, rest: string): number {
  const relative = rest.replace(/^\/+/, "");
  const path = cstring(relative === "" ? "." : relative);
  return openat2(exportFd, path, DIRECTORY, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

/** Whether `path` is `top` or has it as its first components. */
function isBelow(path: string, top: string): boolean {
  return top === "/" || path === top || path.startsWith(`${top}/`);
}
