/**
 * What procfs says of the threads that ask, and of those asked about. Nothing here takes
 * a lock that a thread within execve(2) may hold while it waits for the mount, as reading
 * /proc/<tid>/stat does, and nothing asks a file system that may be the mount itself.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cstring } from "../../sys/cstring.ts";
import { allocate } from "../../sys/memory.ts";
import { AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_DONT_SYNC } from "../../sys/open.ts";
import { STATX, STATX_BASIC_STATS, STATX_STRUCT_SIZE, statx } from "../../sys/stat.ts";
import type { Attributes } from "../../wire/attributes.ts";
import { type Placement, placementOf } from "./placement.ts";

/** For how long a placement is believed: mounts come and go. */
const PLACEMENT_NS = 1e9;
/** Placements that are remembered: pairs of a mount namespace and a root. */
const PLACEMENTS_MAX = 256;

const TWO_32 = 0x1_0000_0000;
const buffer = allocate(STATX_STRUCT_SIZE);

/** Describes what `path` leads to, from what the kernel has of it; false where that fails. */
function look(path: string): boolean {
  const flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
  return statx(AT_FDCWD, cstring(path), flags, STATX_BASIC_STATS, buffer.address) === 0;
}

/** What tells the inode `path` leads to from others; undefined where it cannot be had. */
function inodeOf(path: string): string | undefined {
  if (!look(path)) return undefined;
  const { view } = buffer;
  const [major, minor] = [
    view.getUint32(STATX.devMajor, true),
    view.getUint32(STATX.devMinor, true),
  ];
  return `${major}:${minor}:${view.getBigUint64(STATX.ino, true)}`;
}

/** Puts owner and times of the process `pid`'s directory in procfs into `a`; false without one. */
export function describeProcess(pid: number | "self", a: Attributes): boolean {
  if (!look(`/proc/${pid}`)) return false;
  const { view } = buffer;
  a.uid = view.getUint32(STATX.uid, true);
  a.gid = view.getUint32(STATX.gid, true);
  const at =
    view.getInt32(STATX.mtimeSec + 4, true) * TWO_32 + view.getUint32(STATX.mtimeSec, true);
  const ns = view.getUint32(STATX.mtimeNsec, true);
  Object.assign(a, { atime: at, mtime: at, ctime: at, atimeNs: ns, mtimeNs: ns, ctimeNs: ns });
  return true;
}

function statusOf(tid: number): string {
  try {
    return readFileSync(`/proc/${tid}/status`, "latin1");
  } catch {
    return "";
  }
}

/** Process of the thread `tid`, or 0 where there is no such thread. */
export function processOf(tid: number): number {
  return Number(/^Tgid:\s*(\d+)$/m.exec(statusOf(tid))?.[1] ?? 0);
}

/** Numbers of all processes. */
export function processes(): number[] {
  return readdirSync("/proc").map(Number).filter(Number.isInteger);
}

/** Whether the thread `tid` numbers processes as we do. */
export function numbersAsWeDo(tid: number): boolean {
  const own = inodeOf("/proc/self/ns/pid");
  return own !== undefined && inodeOf(`/proc/${tid}/ns/pid`) === own;
}

/** Where processes are, remembered for those with the same mounts and the same root. */
export class Placements {
  readonly #known = new Map<string, { placement: Placement; atNs: number }>();
  readonly #device: string | undefined;

  /** `device`: the mount's, as mountinfo writes it; undefined where it is mounted no more. */
  constructor(device: string | undefined) {
    this.#device = device;
  }

  /** Where the thread `tid` is; a zombie is where its parent is. */
  of(tid: number): Placement | undefined {
    const root = inodeOf(`/proc/${tid}/root`);
    if (root === undefined) return this.#ofParent(tid);
    const key = `${inodeOf(`/proc/${tid}/ns/mnt`)} ${root}`;
    const known = this.#known.get(key);
    const now = Bun.nanoseconds();
    if (known !== undefined && now - known.atNs < PLACEMENT_NS) return known.placement;
    const placement = this.#read(tid);
    if (placement === undefined) return undefined;
    if (this.#known.size >= PLACEMENTS_MAX) this.#known.clear();
    this.#known.set(key, { placement, atNs: now });
    return placement;
  }

  #ofParent(tid: number): Placement | undefined {
    const status = statusOf(tid);
    if (!/^State:\s*Z/m.test(status)) return undefined;
    const parent = Number(/^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? 0);
    // Its root can be had, or nobody's: no further.
    return inodeOf(`/proc/${parent}/root`) === undefined ? undefined : this.of(parent);
  }

  #read(tid: number): Placement | undefined {
    try {
      return placementOf(readFileSync(`/proc/${tid}/mountinfo`, "latin1"), this.#device);
    } catch {
      return undefined;
    }
  }
}
