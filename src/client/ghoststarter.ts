/** The thread that tells programs which watch the mount what happens on the HOST. */
import { E } from "../sys/errno.ts";
import { eventfd } from "../sys/poll.ts";
import type { GhostThreadData } from "./ghost.worker.ts";
import type { MountOptions } from "./options.ts";

/**
 * Starts it where it may do what it has to; the eventfd that wakes it, or -errno. `shared` is
 * what it shares with the reactor.
 */
export function startGhosts(
  { target, log }: Pick<MountOptions, "target" | "log">,
  shared: Pick<GhostThreadData, "channel" | "notices">,
): number {
  if (process.getuid?.() !== 0) return -E.EPERM;
  const wakeFd = eventfd();
  if (wakeFd < 0) return wakeFd;
  const worker = new Worker(new URL("./ghost.worker.ts", import.meta.url).href);
  worker.onerror = ({ message }) => {
    log("warn", `Watchers are not told of the HOST's changes any more: ${message}`);
  };
  worker.postMessage({ ...shared, wakeFd, target } satisfies GhostThreadData);
  return wakeFd;
}
