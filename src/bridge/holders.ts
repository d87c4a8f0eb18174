/** Which processes have a FIFO open, from /proc/<pid>/fd. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { cstring } from "../sys/cstring.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, AT_FDCWD, AT_STATX_DONT_SYNC, O_ACCMODE, O_PATH } from "../sys/open.ts";
import { STATX, STATX_BASIC_STATS, STATX_STRUCT_SIZE, statx } from "../sys/stat.ts";

const status = allocate(STATX_STRUCT_SIZE);
const NO_FILE = /^(?:socket|pipe|anon_inode|net|\/dev\/|\/proc\/|\/memfd:)/;

/** An inode, as statx(2) tells it without asking its file system. */
export function identityOf(fd: number): string | undefined {
  return identity(fd, cstring(""), AT_EMPTY_PATH | AT_STATX_DONT_SYNC);
}

function identity(dirfd: number, path: number, flags: number): string | undefined {
  if (statx(dirfd, path, flags, STATX_BASIC_STATS, status.address) < 0) return undefined;
  const { view } = status;
  const major = view.getUint32(STATX.devMajor, true);
  const minor = view.getUint32(STATX.devMinor, true);
  return `${major}:${minor}:${view.getBigUint64(STATX.ino, true)}`;
}

/** What a process has a FIFO open for, and by which path. */
export interface Held {
  reads: boolean;
  writes: boolean;
  path: string;
}

/** What process `pid` has the inode open for; the last opened descriptors are looked at first. */
export function holds(pid: number, inode: string): Held {
  const found: Held = { reads: false, writes: false, path: "" };
  try {
    for (const fd of readdirSync(`/proc/${pid}/fd`).reverse()) {
      const path = `/proc/${pid}/fd/${fd}`;
      const link = linkText(path);
      if (NO_FILE.test(link)) continue;
      if (identity(AT_FDCWD, cstring(path), AT_STATX_DONT_SYNC) !== inode) continue;
      found.path = link;
      addMode(`/proc/${pid}/fdinfo/${fd}`, found);
      if (found.reads && found.writes) break;
    }
  } catch {
    // It has ended.
  }
  return found;
}

function linkText(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "socket";
  }
}

function addMode(path: string, found: Held): void {
  const [, octal] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(path, "latin1")) ?? [];
  const flags = Number.parseInt(octal ?? "0", 8);
  if ((flags & O_PATH) !== 0) return;
  const mode = flags & O_ACCMODE;
  if (mode !== 1) found.reads = true;
  if (mode !== 0) found.writes = true;
}

/** Processes of this machine, as far as they can be seen. */
export function processes(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Id of the process that thread `tid` belongs to; 0: it is gone. */
export function processOf(tid: number): number {
  try {
    return Number(/^Tgid:\s*(\d+)$/m.exec(readFileSync(`/proc/${tid}/status`, "latin1"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
