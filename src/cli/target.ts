/** The place to mount at. */
import { realpathSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { mounts } from "../info/mountinfo.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";

/** A process that asks itself for its own /proc waits for ever. */
const OWN_PROC = "qtfs itself needs this machine's /proc (mount at ROOT/proc, and chroot to ROOT)";

/**
 * The absolute path of `target` without symlinks; throws a sentence if nothing
 * can be mounted there: a mount of ours, too, has to go first (takeover.ts).
 */
export function checkTarget(target: string): string {
  const path = resolve(target);
  // Before it is touched: what is below a mount without a process would wait or fail.
  refuseMounted(path);
  const real = attempt(path, () => realpathSync.native(path));
  if (!attempt(path, () => statSync(real)).isDirectory()) {
    throw new Error(`Cannot mount at ${path}: it is not a directory`);
  }
  refuseMounted(real);
  if (real === "/proc" || real === "/") throw new Error(`Cannot mount at ${path}: ${OWN_PROC}`);
  return real;
}

function refuseMounted(path: string): void {
  const last = mounts().findLast((mount) => mount.mountpoint === path);
  if (last?.type !== FILE_SYSTEM_TYPE) return;
  throw new Error(
    `Cannot mount at ${path}: it is busy, ${last.source} is mounted there (umount ${path})`,
  );
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "it does not exist",
  ENOTDIR: "a part of the path is not a directory",
  EACCES: "you may not enter it",
  ELOOP: "too many symlinks lead to it",
  ENOTCONN: "it is below a mount whose process is gone",
};

function attempt<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    throw new Error(`Cannot mount at ${path}: ${REASONS[code] ?? message}`);
  }
}
