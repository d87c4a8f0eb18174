/** What a part left behind: mounts below its directory, processes that carry its mark. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** The environment variable that marks a part's processes; its value is the part's directory. */
export const MARK = "QTFS_TEST_PART";

/** Mount points below `directory`, the innermost first. */
export function mountsBelow(directory: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((mountpoint) => mountpoint.startsWith(`${directory}/`))
    .reverse();
}

/** Detaches the mounts below `directory`; MNT_FORCE aborts a FUSE mount that no longer answers. */
export function detachMounts(directory: string): void {
  for (const mountpoint of mountsBelow(directory)) {
    const umount = ["umount", "--no-canonicalize", "--internal-only", "--force", "--lazy"];
    spawnSync("timeout", ["-s", "KILL", "10", ...umount, mountpoint]);
  }
}

/** Numbers of the processes whose environment says that the part of `directory` started them. */
export function processesOf(directory: string): number[] {
  const mark = `${MARK}=${directory}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) => pid !== process.pid && readOr(`/proc/${pid}/environ`).split("\0").includes(mark),
    );
}

/** `name (pid)` of each, for the log. */
export function describeProcesses(pids: number[]): string {
  return pids.map((pid) => `${readOr(`/proc/${pid}/comm`).trim()} (${pid})`).join(", ");
}

/** A process may end while it is being read. */
function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
