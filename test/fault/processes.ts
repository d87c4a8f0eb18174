/** What the kernel says of processes. */
import { readdirSync, readFileSync } from "node:fs";

function readOr(path: string): string {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return "";
  }
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
    const stack = readOr(`${thread}/stack`).split("\n").slice(0, 6).join(" < ");
    return `  ${thread} ${readOr(`${thread}/comm`)}: ${state}; ${readOr(`${thread}/wchan`)}; ${stack}`;
  });
  return [`process ${pid}: ${readOr(`/proc/${pid}/comm`)}`, ...threads].join("\n");
}
