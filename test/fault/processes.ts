/** What the kernel says of processes. */
import { readdirSync, readFileSync } from "node:fs";

function readOr(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "";
  }
}

/**
 * All processes of a name (comm) in `names`, with their arguments. Others are not
 * asked: /proc/PID/cmdline waits for one that has its memory locked in a call on a mount.
 */
export function processes(names: ReadonlySet<string>): { pid: number; words: string[] }[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && names.has(readOr(`/proc/${name}/comm`)))
    .map((name) => ({
      pid: Number(name),
      words: readOr(`/proc/${name}/cmdline`)
        .split("\0")
        .filter((word) => word !== ""),
    }));
}

/** Threads with the state D, as `PID/TID name`. */
export function uninterruptible(pids: number[]): string[] {
  return pids.flatMap((pid) =>
    threadsOf(pid)
      .filter((thread) => / D /.test(readOr(`${thread}/stat`).replace(/.*\)/, "")))
      .map((thread) => `${thread} ${readOr(`${thread}/comm`)}`),
  );
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}`);
  } catch {
    return [];
  }
}

/** Where each thread of a process waits, for people. */
export function describeProcess(pid: number): string {
  const threads = threadsOf(pid).map((thread) => {
    const state = /^State:.*/m.exec(readOr(`${thread}/status`))?.[0] ?? "";
    const stack = readOr(`${thread}/stack`).replaceAll(/\[<0>\] |\+0x\S+/g, "");
    const calls = stack.split("\n").slice(0, 6).join(" < ");
    return `  ${thread} ${readOr(`${thread}/comm`)}: ${state}; ${calls}`;
  });
  return [`process ${pid}: ${readOr(`/proc/${pid}/comm`)}`, ...threads].join("\n");
}
