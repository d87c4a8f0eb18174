/** Waiting until what was mounted on the HOST is mounted here, too. */
import { closeSync, openSync } from "node:fs";
import { mounts } from "../info/mountinfo.ts";
import { POLLPRI, PollSet } from "../sys/poll.ts";
import type { HostPlace, Share } from "./places.ts";

/** How long what has changed on the HOST may take to be seen here before nobody waits for it. */
const SEEN_MS = 2000;

/** What is mounted here at a place: numbers of mounts. */
export function mountedHere({ mount, path }: HostPlace<Share>): string {
  const place = `${mount.target}/${Buffer.from(path, "latin1")}`;
  return mounts()
    .flatMap(({ mountpoint, id }) => (mountpoint === place ? [id] : []))
    .join(" ");
}

/**
 * Waits a moment until something else is mounted here than what `mountedHere` said: whoever
 * comes next would find, and might change, the directory that is covered on the HOST. False
 * where it has not come true.
 */
export function seenHere(at: HostPlace<Share>, before: string): boolean {
  if (!at.mount.splits) return true;
  const endMs = performance.now() + SEEN_MS;
  // The kernel tells whoever has it open that mounts have changed since (proc(5)).
  const table = openSync("/proc/self/mountinfo", "r");
  const changed = new PollSet(1);
  changed.add(table, POLLPRI);
  let isSeen = false;
  for (let leftMs = SEEN_MS; leftMs > 0; leftMs = Math.ceil(endMs - performance.now())) {
    isSeen = mountedHere(at) !== before;
    if (isSeen) break;
    changed.wait(leftMs);
  }
  closeSync(table);
  return isSeen;
}
