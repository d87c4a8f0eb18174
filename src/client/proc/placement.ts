/**
 * Where a process is: whether the mount is its /proc, and by which path it reaches this
 * machine's procfs. Both are read from its mountinfo (proc(5)), which shows the mounts
 * below its root as it would name them, and costs no walk through any file system: that
 * would end in the mount itself.
 */
import { unescapeOctal } from "../../info/mountinfo.ts";

/** Where the guide mounts the DPU's procfs in a chroot. */
const LOCAL_PROC = "/local_proc";
const PROC = "/proc";

export interface Placement {
  /** Whether the mount is at /proc, seen from the process's root. */
  readonly isHome: boolean;
  /** Path of this machine's procfs from there, a byte a character; undefined without one in reach. */
  readonly procfs: string | undefined;
}

interface Line {
  readonly id: string;
  readonly parent: string;
  readonly device: string;
  /** Directory of its file system that is mounted. */
  readonly root: string;
  readonly mountpoint: string;
  readonly type: string;
}

/**
 * What `mountinfo`, a byte a character, says of the process it was read of; `device`:
 * the mount's, as mountinfo writes it.
 */
export function placementOf(mountinfo: string, device: string | undefined): Placement {
  const lines = parse(mountinfo);
  const whole = lines.filter(({ root }) => root === "/");
  const seen = (line: Line) => isSeen(line, lines);
  const homes = whole.filter((line) => line.device === device && line.mountpoint === PROC);
  const procs = whole.filter(({ type }) => type === "proc");
  const procfs =
    procs.find((line) => line.mountpoint === LOCAL_PROC && seen(line)) ?? procs.find(seen);
  return { isHome: homes.some(seen), procfs: procfs?.mountpoint };
}

function parse(mountinfo: string): Line[] {
  return mountinfo.split("\n").flatMap((text) => {
    const fields = text.split(" ");
    const dash = fields.indexOf("-", 6);
    const [id = "", parent = "", device = "", root = "", mountpoint = ""] = fields;
    if (dash === -1) return [];
    const type = fields[dash + 1] as string;
    return [{ id, parent, device, root, mountpoint: unescapeOctal(mountpoint), type }];
  });
}

/** Whether nothing is mounted over `line` but `child`, nor over what it is mounted in. */
function isSeen(line: Line, lines: readonly Line[], child?: Line): boolean {
  const at = lines.indexOf(line);
  const isCovered = lines.some((other, i) => {
    if (other === line || other === child) return false;
    if (other.parent === line.id) return other.mountpoint === line.mountpoint;
    return other.parent === line.parent && i > at && isBelow(line.mountpoint, other.mountpoint);
  });
  if (isCovered) return false;
  const parent = lines.find(({ id }) => id === line.parent && id !== line.id);
  return parent === undefined || isSeen(parent, lines, line);
}

function isBelow(path: string, top: string): boolean {
  return path === top || path.startsWith(top === "/" ? "/" : `${top}/`);
}
