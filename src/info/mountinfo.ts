/**
 * The mounts that this process sees, from /proc/self/mountinfo (proc(5)):
 * unlike stat(2) of a mountpoint, reading it never waits for a dead daemon.
 */
import { readFileSync } from "node:fs";

export interface MountLine {
  id: number;
  /** Id of the mount that it is in. */
  parent: number;
  /** `0:50`: equal for the mounts of one superblock. */
  device: string;
  /** What of the superblock is mounted: a path in it. */
  root: string;
  mountpoint: string;
  /** Whether others see what is mounted in it (MS_SHARED). */
  isShared: boolean;
  /** `fuse.qtfs`, `ext4` */
  type: string;
  source: string;
}

/** All mounts, oldest first. */
export function mounts(): MountLine[] {
  return parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
}

/** The lines of a mountinfo file. */
export function parseMountinfo(text: string): MountLine[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const dash = fields.indexOf("-", 6);
    const mountpoint = fields[4];
    if (dash === -1 || mountpoint === undefined) return [];
    const [type = "", source = ""] = fields.slice(dash + 1);
    const [id, parent, device = "", root = ""] = fields;
    return [
      {
        id: Number(id),
        parent: Number(parent),
        device,
        root: unescapeOctal(root),
        mountpoint: unescapeOctal(mountpoint),
        isShared: fields.slice(6, dash).some((field) => field.startsWith("shared:")),
        type,
        source: unescapeOctal(source),
      },
    ];
  });
}

/** Space, tab, newline and backslash are written in octal (proc(5)), whatever else a character stands for. */
export function unescapeOctal(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The mount that `path`, absolute and without symlinks, is in: the longest, of those the newest. */
export function mountOf(path: string, all: readonly MountLine[]): MountLine | undefined {
  let best: MountLine | undefined;
  for (const mount of all) {
    const top = mount.mountpoint === "/" ? "" : mount.mountpoint;
    const covers = path === mount.mountpoint || path.startsWith(`${top}/`);
    if (covers && mount.mountpoint.length >= (best?.mountpoint.length ?? 0)) best = mount;
  }
  return best;
}
