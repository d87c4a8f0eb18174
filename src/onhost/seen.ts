/** Waiting until what was mounted on the HOST is mounted here, too. */
import { closeSync, openSync } from "node:fs";
import { mounts } from "../info/mountinfo.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";
import { POLLPRI, PollSet } from "../sys/poll.ts";
import type { HostPlace, Share } from "./places.ts";

/** How long what has changed on the HOST may take to be seen here before nobody waits for it. */
const SEEN_MS = 2000;

/** The path of a place here. */
function pathHere({ mount, path }: HostPlace<Share>): string {
  const place = `${mount.target}/${Buffer.from(path, "latin1")}`;
  return path === "" ? mount.target : place;
}

/** What is mounted here at a place: numbers of mounts. */
export function mountedHere(at: HostPlace<Share>): string {
  const place = pathHere(at);
  return mounts()
    .flatMap(({ mountpoint, id }) => (mountpoint === place ? [id] : []))
    .join(" ");
}

/** Where the HOST has mounts below a place, as seen here: the rest of each path. */
export function mountsBelow(at: HostPlace<Share>): string[] {
  const top = `${pathHere(at)}/`;
  return mounts().flatMap(({ mountpoint, type }) =>
    type === FILE_SYSTEM_TYPE && mountpoint.startsWith(top) ? [mountpoint.slice(top.length)] : [],
  );
}

/**
 * Waits a moment until something else is mounted here than what `mountedHere` said, and
 * something at each of `below`: whoever comes next would find, and might change, the directory
 * that is covered on the HOST. False where it has not come true.
 */
export function seenHere(
  at: HostPlace<Share>,
  before: string,
  below: readonly string[] = [],
): boolean {
  if (!at.mount.splits) return true;
  const endMs = performance.now() + SEEN_MS;
  // The kernel tells whoever has it open that mounts have changed since (proc(5)).
  const table = openSync("/proc/self/mountinfo", "r");
  const changed = new PollSet(1);
  changed.add(table, POLLPRI);
  let isSeen = false;
  for (let leftMs = SEEN_MS; leftMs > 0; leftMs = Math.ceil(endMs - performance.now())) {
    isSeen = mountedHere(at) !== before && hasAll(mountsBelow(at), below);
    if (isSeen) break;
    changed.wait(leftMs);
  }
  closeSync(table);
  return isSeen;
}

function hasAll(paths: readonly string[], wanted: readonly string[]): boolean {
  const there = new Set(paths);
  return wanted.every((path) => there.has(path));
}
