/**
 * A server that starts itself anew in the same process: a thread of it is stuck,
 * and its sessions go on from their records. The pid, standard descriptors and
 * arguments stay, so nobody who looks after the process has to be told.
 */
import { readFileSync } from "node:fs";

/**
 * What is left to the next start: how often in a row this was done, and when last.
 * What made a thread stick may still be there, so each time the next one waits
 * twice as long.
 */
const VARIABLE = "QTFS_REPLACED";
const PAUSE_MS = 60_000;
const PAUSE_MAX_MS = 3_600_000;

interface Past {
  times: number;
  lastMs: number;
}

function past(): Past {
  const [times = 0, lastMs = 0] = (process.env[VARIABLE] ?? "").split(",").map(Number);
  return { times: times || 0, lastMs: lastMs || 0 };
}

/** How long after the last time it may be done again. */
export function pauseMs(times: number): number {
  return times === 0 ? 0 : Math.min(PAUSE_MS * 2 ** (times - 1), PAUSE_MAX_MS);
}

/** Starts this command anew in this process; returns only if it does not, with why. `say` tells people. */
export function replaceSelf(say: (text: string) => void): string {
  const { times, lastMs } = past();
  const now = Date.now();
  const leftMs = lastMs + pauseMs(times) - now;
  if (leftMs > 0) {
    const seconds = Math.ceil(leftMs / 1000);
    return `The server was started anew a short while ago: not again for ${seconds} s`;
  }
  const isOld = now - lastMs > 2 * PAUSE_MAX_MS;
  const words = readFileSync("/proc/self/cmdline", "utf8").split("\0").slice(0, -1);
  const environment = { ...process.env, [VARIABLE]: `${isOld ? 1 : times + 1},${now}` };
  say("Starting the server anew in its place: its sessions go on");
  try {
    return process.execve?.(process.execPath, words, environment) ?? "No process can be replaced";
  } catch (error) {
    return `The server cannot be started anew: ${(error as Error).message}`;
  }
}
