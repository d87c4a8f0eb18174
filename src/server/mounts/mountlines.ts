/** Lines of /proc/self/mountinfo (proc(5)), and which of the mounts they name can be seen. */
import { unescapeOctal } from "../../info/mountinfo.ts";
import { MountFlag } from "../../wire/constants.ts";

/** One mount of the HOST. Texts have a byte a character. */
export interface HostMount {
  /** The session's clients' number for it: no other mount has or had it (sys/mountid.ts). */
  readonly number: number;
  /** Ids in mountinfo of itself and of the mount it is on. */
  readonly id: number;
  readonly parentId: number;
  /** Where it is, from the server's root. */
  readonly path: string;
  /** MountFlag of the wire. */
  readonly flags: number;
  readonly type: string;
  readonly source: string;
  /** File system, and what of it is mounted: the same for as long as a mount is there. */
  readonly origin: string;
  /** The whole line. */
  readonly text: string;
  /** When it was first seen; 0: so long ago that it is told of. */
  sinceNs: number;
  /** FileType of its root and its device, once somebody has looked (mountplaces.ts); 0 before. */
  rootType: number;
  device: number;
}

const FLAGS: Readonly<Record<string, number>> = {
  ro: MountFlag.RDONLY,
  nosuid: MountFlag.NOSUID,
  nodev: MountFlag.NODEV,
  noexec: MountFlag.NOEXEC,
  nosymfollow: MountFlag.NOSYMFOLLOW,
  noatime: MountFlag.NOATIME,
  nodiratime: MountFlag.NODIRATIME,
  relatime: MountFlag.RELATIME,
};

/** The mount `number` of a line; undefined for a line that is none. */
export function parseLine(text: string, number: number, sinceNs: number): HostMount | undefined {
  const fields = text.split(" ");
  const dash = fields.indexOf("-", 6);
  const [id, parentId, device, root, path, options] = fields;
  if (dash < 0 || path === undefined || options === undefined) return undefined;
  return {
    number,
    id: Number(id),
    parentId: Number(parentId),
    path: unescapeOctal(path),
    flags: options.split(",").reduce((all, option) => all | (FLAGS[option] ?? 0), 0),
    type: unescapeOctal(fields[dash + 1] ?? ""),
    source: unescapeOctal(fields[dash + 2] ?? ""),
    origin: `${device} ${root}`,
    text,
    sinceNs,
    rootType: 0,
    device: 0,
  };
}

/** Whether a line says that its mount cannot be copied. */
export function isUnbindable({ text }: HostMount): boolean {
  return text.includes(" unbindable ");
}

/** Mounts by the id of the one they are on. */
export type Children = ReadonlyMap<number, readonly HostMount[]>;

/**
 * What can be seen beneath the directory `top` of the mount `base`, parents before
 * children: what is neither under another mount nor in a directory that is. A mount
 * that `admits` refuses is not there, nor is what is on it. At most `max`.
 */
export function visibleBelow(
  base: HostMount,
  top: string,
  children: Children,
  admits: (mount: HostMount) => boolean,
  max: number,
): HostMount[] {
  const found: HostMount[] = [];
  const prefix = top === "/" ? "/" : `${top}/`;
  const on = children.get(base.id) ?? [];
  if (on.some(({ path }) => path === top || isBelow(top, path))) return found;
  const queue = reachable(on, prefix);
  for (let mount = queue.pop(); mount !== undefined; mount = queue.pop()) {
    if (found.length >= max) break;
    const { path } = mount;
    const above = children.get(mount.id) ?? [];
    // The newest of those on its root is in its place.
    const cover = above.findLast((other) => other.path === path);
    if (cover !== undefined) {
      queue.push(cover);
    } else if (admits(mount)) {
      found.push(mount);
      queue.push(...reachable(above, `${path}/`));
    }
  }
  return found;
}

/** Those of the mounts on one other that are beneath `prefix` and not covered by others of them, last first. */
function reachable(mounts: readonly HostMount[], prefix: string): HostMount[] {
  const below = mounts.filter(({ path }) => path.startsWith(prefix));
  const byPath = new Map(below.map((mount) => [mount.path, mount]));
  return below
    .filter((mount) => byPath.get(mount.path) === mount && !isCovered(mount.path, prefix, byPath))
    .reverse();
}

function isCovered(path: string, prefix: string, others: ReadonlyMap<string, unknown>): boolean {
  for (let at = path.indexOf("/", prefix.length); at >= 0; at = path.indexOf("/", at + 1)) {
    if (others.has(path.slice(0, at))) return true;
  }
  return false;
}

function isBelow(path: string, top: string): boolean {
  return path.startsWith(top === "/" ? "/" : `${top}/`);
}
