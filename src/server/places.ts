/**
 * Places: a node of the session and a path beneath it, where it matters by which way
 * an inode is reached. One that is mounted at two places is one node; which of the
 * mounts is meant, only a path can tell. No symbolic link is followed and nothing
 * above the node is reached (openat2(2)).
 */
import { PathBuffer } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import {
  dup,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../sys/open.ts";
import { ProtocolError } from "../wire/error.ts";
import { PATH_MAX } from "../wire/limits.ts";
import type { Session } from "./session.ts";
import type { Tree } from "./tree.ts";

const NOWHERE = [".", "..", ""];
const RESOLVE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
const paths = new PathBuffer(1);

export interface Place {
  /** Row of the node, or -1 for one that is no longer known. */
  readonly row: number;
  /** Names divided by slashes, a byte a character; empty for the node itself. */
  readonly path: string;
}

/** Reads `[node, path]`, the path relative and without dots. */
export function readPlace(session: Session): Place {
  const row = session.node();
  return { row, path: readPath(session) };
}

/** The same, undefined where the node is 0. */
export function readOptionalPlace(session: Session): Place | undefined {
  const row = session.node();
  const { high, low } = session.reader;
  const path = readPath(session);
  return high === 0 && low === 0 ? undefined : { row, path };
}

function readPath(session: Session): string {
  const path = session.reader.latin1(PATH_MAX);
  const isNormal = path === "" || !path.split("/").some((name) => NOWHERE.includes(name));
  if (!isNormal || path.includes("\0")) throw new ProtocolError("path is not normal");
  return path;
}

/** An O_PATH descriptor of what is at `place`, a symbolic link itself too; or -errno. */
export function openPlace(tree: Tree, { row, path }: Place): number {
  if (row < 0) return -E.ESTALE;
  const base = tree.reach.fd(row);
  if (base < 0) return base;
  return path === "" ? dup(base) : openBeneath(base, path, O_NOFOLLOW);
}

/** An O_PATH descriptor of the directory that `place` is a name in; -EBUSY for a node itself, or -errno. */
export function openParent(tree: Tree, { row, path }: Place): number {
  if (row < 0) return -E.ESTALE;
  if (path === "") return -E.EBUSY;
  const base = tree.reach.fd(row);
  if (base < 0) return base;
  const slash = path.lastIndexOf("/");
  return slash < 0 ? dup(base) : openBeneath(base, path.slice(0, slash), O_DIRECTORY);
}

/** The last name of a place's path, a byte a character. */
export function lastName({ path }: Place): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

function openBeneath(base: number, path: string, flags: number): number {
  return openat2(base, paths.putLatin1(0, path), O_PATH | O_CLOEXEC | flags, 0, RESOLVE);
}
