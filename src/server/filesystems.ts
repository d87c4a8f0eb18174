/**
 * The file systems that a session's client has met in its tree, each told to it
 * once for people to see (`qtfs info`), and again when it is back after a cut.
 */
import { readFileSync } from "node:fs";
import { unescapeOctal } from "../info/mountinfo.ts";
import { Policy } from "../wire/constants.ts";
import { FILE_SYSTEMS_MAX } from "../wire/limits.ts";
import type { FileSystemType } from "./fstypes.ts";

/** Stands for the type of a file system that is gone. */
const NONE: FileSystemType = { name: "", magic: 0, treatment: "live" };

/** One, as the client first met it. */
export interface FileSystem {
  readonly type: FileSystemType;
  /** The wire's Policy. */
  readonly policy: number;
  /** Where: relative to the tree's root, "" for the root itself; a byte a character. */
  readonly path: string;
}

export class FileSystems {
  readonly #root: string;
  readonly #tell: (met: FileSystem) => void;
  /** By path. */
  readonly #met = new Map<string, FileSystem>();

  /** `root`: the HOST's path of the tree. `tell` is called for each that is met. */
  constructor(root: string, tell: (met: FileSystem) => void) {
    this.#root = Buffer.from(root).toString("latin1");
    this.#tell = tell;
  }

  /** The client meets the file system, or one that is treated in another way, that `fd` is in. */
  meet(fd: number, type: FileSystemType, policy: number): void {
    const place = mountPoint(fd);
    if (place !== undefined) this.meetAt(relativeTo(this.#root, place), type, policy);
  }

  /** The same for the directory `path`, which has a rule of its own. */
  meetAt(path: string, type: FileSystemType, policy: number): void {
    const before = this.#met.get(path);
    if (before?.type === type && before.policy === policy) return;
    if (before === undefined && this.#met.size >= FILE_SYSTEMS_MAX) return;
    const met = { type, policy, path };
    this.#met.set(path, met);
    this.#tell(met);
  }

  /** The file system at `path` is there no more. */
  leave(path: string): void {
    if (this.#met.delete(path)) this.#tell({ type: NONE, policy: Policy.LIVE, path });
  }

  /** Tells of all again. */
  tellAll(): void {
    for (const met of this.#met.values()) this.#tell(met);
  }
}

/** Where the mount is that `fd` was reached through, a byte a character; undefined where it is nowhere. */
function mountPoint(fd: number): string | undefined {
  try {
    const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    const lines = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
    const place = lines.find((line) => line.startsWith(`${id} `))?.split(" ")[4];
    return place === undefined ? undefined : unescapeOctal(place);
  } catch {
    // Without /proc its place is not known.
    return undefined;
  }
}

/** `path` as seen from `root`; "" for the file system that the root itself is in. */
export function relativeTo(root: string, path: string): string {
  const top = root === "/" ? "/" : `${root}/`;
  return path.startsWith(top) ? path.slice(top.length) : "";
}
