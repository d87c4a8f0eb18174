/** Which path of the HOST a path here stands for, by the mounts of qtfs on this machine. */
import { readFileSync, readlinkSync } from "node:fs";
import { type MountLine, mounts } from "../info/mountinfo.ts";
import { reports } from "../info/query.ts";
import { isMount, type MountReport } from "../info/report.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";
import { cstring } from "../sys/cstring.ts";
import { errnoText } from "../sys/errno.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_PATH, openat } from "../sys/open.ts";

/** Mounts of ours that may be below each other. */
const DEPTH_MAX = 64;

/** A path of the HOST. Its texts have a byte a character. */
export interface HostPlace<Mount = MountReport> {
  mount: Mount;
  /** Below the directory that is mounted; empty for that one. */
  path: string;
}

/** What `locate` needs to know of a mount's process. */
export interface Served {
  /** Where it is mounted. */
  target: string;
}

/** What is asked of a mount of qtfs for calls on its HOST. */
export interface Share extends Served {
  /** The HOST's directory that is mounted. */
  source: string;
  /** Addresses of the server, divided by `, `. */
  server: string;
  /** Whether the HOST's mounts are mounts here. */
  splits: boolean;
}

/** The mounts of this machine whose processes answer. */
export class HostPlaces {
  readonly #served: readonly MountReport[];

  private constructor(served: readonly MountReport[]) {
    this.#served = served;
  }

  /** Throws a sentence if this user may not look. */
  static async read(): Promise<HostPlaces> {
    return new HostPlaces((await reports()).filter(isMount));
  }

  /**
   * What `path` stands for, its symbolic links followed as this machine's kernel follows
   * them; undefined if it is on no mount of qtfs. Throws a sentence if it leads nowhere.
   */
  find(path: string): HostPlace | undefined {
    const fd = openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC, 0);
    if (fd < 0) throw new Error(`Cannot use ${path}: ${errnoText(-fd)}`);
    try {
      const real = readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }).toString("latin1");
      const info = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8");
      const id = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]);
      return locate(real, id, mounts(), this.#served);
    } finally {
      // What is open on a mount makes it busy.
      close(fd);
    }
  }
}

/**
 * Which of `served` the path `real` (a byte a character) in the mount of number `id`
 * belongs to, and where in it: through binds of the mount, and through mounts of ours
 * below it, which stand for the HOST's.
 */
export function locate<Mount extends Served>(
  real: string,
  id: number,
  lines: readonly MountLine[],
  served: readonly Mount[],
): HostPlace<Mount> | undefined {
  let line = lines.find((one) => one.id === id);
  if (line === undefined) return undefined;
  let path = join(latin1(line.root), below(real, line));
  for (let depth = 0; depth < DEPTH_MAX; depth++) {
    const { device, type }: MountLine = line;
    if (type !== FILE_SYSTEM_TYPE) return undefined;
    const mount = served.find(({ target }) => {
      return lines.findLast((one) => one.mountpoint === target)?.device === device;
    });
    if (mount !== undefined) return { mount, path: path.slice(1) };
    const above = lines.flatMap((one) => {
      if (one.device !== device || one.root !== "/") return [];
      const parent = lines.find(({ id, type }) => id === one.parent && type === FILE_SYSTEM_TYPE);
      return parent === undefined ? [] : [{ one, parent }];
    })[0];
    if (above === undefined) return undefined;
    const { one, parent } = above;
    path = join(join(latin1(parent.root), below(latin1(one.mountpoint), parent)), path);
    line = parent;
  }
  return undefined;
}

/** `path` without the place that it is mounted at: empty or with a slash in front. */
function below(path: string, { mountpoint }: MountLine): string {
  return mountpoint === "/" ? path : path.slice(latin1(mountpoint).length);
}

/** Two absolute paths one after the other. */
function join(first: string, second: string): string {
  const joined = `${first === "/" ? "" : first}${second === "/" ? "" : second}`;
  return joined === "" ? "/" : joined;
}

/** A text of this program, with a byte a character. */
export function latin1(text: string): string {
  return Buffer.from(text).toString("latin1");
}
