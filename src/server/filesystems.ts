/**
 * The file systems that a session's client has met in its tree, each told to it
 * once for people to see (`qtfs info`), and again when it is back after a cut.
 */
import { readFileSync } from "node:fs";
import { FILE_SYSTEMS_MAX } from "../wire/limits.ts";
import type { FileSystemType } from "./fstypes.ts";

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
    this.meetAt(relative(mountPoint(fd), this.#root), type, policy);
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

  /** Tells of all again. */
  tellAll(): void {
    for (const met of this.#met.values()) this.#tell(met);
  }
}

/** Where the mount is that `fd` was reached through, a byte a character; "" where it is nowhere. */
function mountPoint(fd: number): string {
  try {
    const id = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    const lines = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
    return plain(lines.find((line) => line.startsWith(`${id} `))?.split(" ")[4] ?? "");
  } catch {
    // Without /proc its place is not known.
    return "";
  }
}

/** mountinfo has blanks and backslashes as octal numbers (proc(5)). */
function plain(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** `path` as seen from `root`; "" for the file system that the root itself is in. */
function relative(path: string, root: string): string {
  const top = root === "/" ? "/" : `${root}/`;
  return path.startsWith(top) ? path.slice(top.length) : "";
}
