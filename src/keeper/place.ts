/** Where a server and its keeper meet: a socket named by the server's addresses. */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";

const OWNER_ALONE = 0o700;
/** Digits of a digest of the addresses. */
const DIGITS = 16;

/** Directories for sockets, best first. */
function candidates(what: string, uid: number): string[] {
  const ofUser = process.env.XDG_RUNTIME_DIR;
  const first = uid === 0 ? `/run/qtfs/${what}` : ofUser && `${ofUser}/qtfs/${what}`;
  return [...(first ? [first] : []), `/dev/shm/qtfs-${what}-${uid}`];
}

/**
 * The path of the socket at which the keeper, of `what`, of a server that listens at `addresses`
 * is found, in a directory of this user's alone; throws a sentence where there is none.
 * `version`: of what is said there, so that others are not found.
 */
export function keeperSocket(what: string, version: number, addresses: readonly string[]): string {
  const uid = process.geteuid?.() ?? 0;
  const directories = candidates(what, uid);
  const directory = directories.find((path) => isOurs(path, uid));
  if (directory === undefined) {
    throw new Error(`There is no place for the keeper's socket: tried ${directories.join(", ")}`);
  }
  return `${directory}/${socketName(version, addresses)}`;
}

/** The name of that socket, in whichever directory. */
export function socketName(version: number, addresses: readonly string[]): string {
  const digest = createHash("sha256")
    .update([...addresses].sort().join("\n"))
    .digest("hex");
  return `keeper-${version}-${digest.slice(0, DIGITS)}.sock`;
}

function isOurs(path: string, uid: number): boolean {
  try {
    mkdirSync(path, { recursive: true, mode: OWNER_ALONE });
    const { mode, uid: owner } = lstatSync(path);
    return owner === uid && (mode & 0o170077) === 0o040000;
  } catch {
    return false;
  }
}
