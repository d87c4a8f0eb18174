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
import { identify, statFd } from "./status.ts";

/** One exported directory. */
export interface Export {
  /** Absolute path on the HOST. */
  path: string;
  readOnly: boolean;
}

/** What a client attaches to: an O_PATH descriptor, owned by the caller. */
export interface Root {
  fd: number;
  path: string;
  readOnly: boolean;
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

export class Exports {
  readonly #list: readonly { export: Export; real: string; fd: number }[];

  /** Opens every export; throws a sentence for one that is no directory. */
  constructor(list: readonly Export[]) {
    this.#list = list.map((entry) => {
      const fd = openat(AT_FDCWD, cstring(entry.path), DIRECTORY, 0);
      if (fd < 0)
        throw new Error(`Cannot export ${entry.path}: it is not a directory of this machine`);
      return { export: entry, real: readlinkSync(`/proc/self/fd/${fd}`), fd };
    });
  }

  /**
   * The directory `path` of the HOST, if it is beneath an export; or an errno:
   * EACCES for all that is not, whether or not it exists.
   *
   * The path chooses the export; that the result is beneath it is shown by
   * opening it once more from the export's descriptor (openat2, RESOLVE_BENEATH)
   * and comparing inodes, not by the path's text.
   */
  open(path: string): Root | number {
    if (!path.startsWith("/") || path.includes("\0")) return E.EINVAL;
    const seen = openat(AT_FDCWD, cstring(path), DIRECTORY, 0);
    if (seen < 0) return this.#why(path);
    try {
      return this.#beneath(seen, readlinkSync(`/proc/self/fd/${seen}`));
    } finally {
      close(seen);
    }
  }

  /** Closes the exports' descriptors. */
  close(): void {
    for (const entry of this.#list) close(entry.fd);
  }

  /** errno for a path that leads nowhere: the truth beneath an export, EACCES elsewhere. */
  #why(path: string): number {
    for (const entry of this.#list) {
      const top = [entry.export.path, entry.real].find((p) => isBelow(path, p));
      if (top === undefined) continue;
      const fd = openBeneath(entry.fd, path.slice(top.length));
      if (fd >= 0) close(fd);
      // EXDEV: it leaves the export, and what is there is nobody's business.
      else if (fd !== -E.EXDEV) return -fd;
    }
    return E.EACCES;
  }

  #beneath(seen: number, real: string): Root | number {
    const candidates = this.#list
      .filter((entry) => isBelow(real, entry.real))
      .sort((a, b) => b.real.length - a.real.length);
    for (const entry of candidates) {
      const fd = openBeneath(entry.fd, real.slice(entry.real.length));
      if (fd < 0) continue;
      if (sameInode(fd, seen)) return { fd, path: real, readOnly: entry.export.readOnly };
      close(fd);
    }
    return E.EACCES;
  }
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
