/** Where a rexec-server and its keeper meet: a socket named by the server's addresses. */
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { CHANNEL_VERSION } from "./channel.ts";

/** A keeper's name: argv[0], by which the executable knows what it is (main.ts), and in ps(1). */
export const KEEPER_NAME = "qtfs-rexec-keeper";
/** Where a keeper finds the socket that servers connect to. */
export const KEEPER_FD = 3;

const OWNER_ALONE = 0o700;
/** Digits of a digest of the addresses. */
const DIGITS = 16;

/** Directories for sockets, best first. */
function candidates(uid: number): string[] {
  const ofUser = process.env.XDG_RUNTIME_DIR;
  const first = uid === 0 ? "/run/qtfs/rexec" : ofUser && `${ofUser}/qtfs/rexec`;
  return [...(first ? [first] : []), `/dev/shm/qtfs-rexec-${uid}`];
}

/**
 * The path of the socket at which the keeper of a server that listens at `addresses` is
 * found, in a directory of this user's alone; throws a sentence where there is none.
 */
export function keeperPath(addresses: readonly string[]): string {
  const uid = process.geteuid?.() ?? 0;
  const directory = candidates(uid).find((path) => isOurs(path, uid));
  if (directory === undefined) {
    throw new Error(
      `There is no place for the keeper's socket: tried ${candidates(uid).join(", ")}`,
    );
  }
  const digest = createHash("sha256")
    .update([...addresses].sort().join("\n"))
    .digest("hex");
  return `${directory}/keeper-${CHANNEL_VERSION}-${digest.slice(0, DIGITS)}.sock`;
}

/** The file of a keeper's programs (slots.ts), beside its socket. */
export function slotsPath(path: string): string {
  return path.replace(/\.sock$/, ".programs");
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
