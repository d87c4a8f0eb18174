/** A mount of the HOST below the directory that is mounted, as the server describes it. */
import { ProtocolError } from "../../wire/error.ts";
import { NAME_MAX, PATH_MAX } from "../../wire/limits.ts";
import type { Reader } from "../../wire/reader.ts";

/** Texts have a byte a character. */
export interface HostMount {
  /** The HOST's number for it. */
  mount: number;
  /** That of the mount it is on; 0: the one that holds the directory mounted. */
  parent: number;
  /** MountFlag bits. */
  flags: number;
  /** FileType of its root. */
  rootType: number;
  /** Its device on the HOST. */
  device: number;
  /** Where it is below the directory mounted. */
  path: string;
  type: string;
  source: string;
}

const ITEMS = 8;

/** Reads the next one of the server's list. */
export function readHostMount(reader: Reader): HostMount {
  if (reader.array() !== ITEMS) throw new ProtocolError("a mount has other fields");
  const one = {
    mount: reader.uint32(),
    parent: reader.uint32(),
    flags: reader.uint32(),
    rootType: reader.uint32(),
    device: reader.uint32(),
    path: reader.latin1(PATH_MAX),
    type: reader.latin1(NAME_MAX),
    source: reader.latin1(PATH_MAX),
  };
  if (one.mount === 0 || !isBelow(one.path)) throw new ProtocolError("a mount is nowhere");
  return one;
}

/** Whether a path has proper names only, and so leads nowhere else than below where it starts. */
function isBelow(path: string): boolean {
  return path.split("/").every((name) => {
    return name !== "" && name !== "." && name !== ".." && !name.includes("\0");
  });
}

/** Whether two descriptions are of one mount at one place. */
export function isSameMount(a: HostMount, b: HostMount): boolean {
  return (
    a.path === b.path &&
    a.parent === b.parent &&
    a.device === b.device &&
    a.rootType === b.rootType &&
    a.type === b.type
  );
}

/** Its path as text for people. */
export function pathText({ path }: HostMount): string {
  return Buffer.from(path, "latin1").toString();
}
