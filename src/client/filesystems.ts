/** The HOST's file systems in a mount's tree, as the server tells of them: for people to see. */
import { Policy } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { FILE_SYSTEMS_MAX, NAME_MAX, PATH_MAX } from "../wire/limits.ts";
import type { Reader } from "../wire/reader.ts";

/** How files are treated, by the wire's Policy: what the configuration of a server calls it. */
const TREATMENTS = {
  [Policy.ORDINARY]: "short",
  [Policy.LIVE]: "live",
  [Policy.WATCHED]: "watched",
} as const;

export interface FileSystemFigures {
  /** Where, below the mountpoint; "" for the mountpoint itself. */
  path: string;
  /** The HOST's name of its type, a number in hexadecimal where it has none. */
  type: string;
  /** f_type of the HOST's statfs(2). */
  magic: number;
  /** short: believed for a second; live: asked each time; watched: the server tells of changes. */
  policy: "short" | "live" | "watched";
}

/** Reads what follows the number of a FILE_SYSTEM event. */
export function readFileSystem(reader: Reader): FileSystemFigures {
  const magic = reader.uint32();
  const type = reader.latin1(NAME_MAX);
  const policy = reader.uint();
  if (policy !== Policy.ORDINARY && policy !== Policy.LIVE && policy !== Policy.WATCHED) {
    throw new ProtocolError(`policy ${policy} is none of a file system`);
  }
  const path = Buffer.from(reader.latin1(PATH_MAX), "latin1").toString();
  return { path, type, magic, policy: TREATMENTS[policy] };
}

/** What main knows of them. */
export class FileSystemList {
  readonly #byPath = new Map<string, FileSystemFigures>();

  /** One is there, or, without a type, is there no more. */
  add(met: FileSystemFigures): void {
    if (met.type === "") {
      this.#byPath.delete(met.path);
      return;
    }
    if (this.#byPath.has(met.path) || this.#byPath.size < FILE_SYSTEMS_MAX) {
      this.#byPath.set(met.path, met);
    }
  }

  clear(): void {
    this.#byPath.clear();
  }

  /** All, by path. */
  all(): FileSystemFigures[] {
    const compare = (a: string, b: string) => (a < b ? -1 : 1);
    return [...this.#byPath.values()].sort((a, b) => compare(a.path, b.path));
  }
}
