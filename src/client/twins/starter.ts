/**
 * The twin process as main sees it: a process of this program under another name, which
 * serves the HOST's sockets and FIFOs here. It is started when the mount's thread first
 * needs it and outlives this process; it ends with the mount (channel.ts).
 */
import { fstatSync } from "node:fs";
import { close } from "../../sys/open.ts";
import { twinChannel } from "./channel.ts";

/** Its name: argv[0], by which the executable knows what it is (main.ts), and in ps(1). */
export const TWINS_NAME = "qtfs-twins";
/** Where it finds its end of the channel. */
export const TWINS_FD = 3;
const NONE = -1;
/** How many of them may end in a short time: the next ones would do no better. */
const ENDS_MAX = 10;
const ENDS_WITHIN_MS = 10_000;

export class TwinStarter {
  /** The reactor's end of the channel: what is kept for the next process. */
  fd: number;
  /** When those before have ended. */
  #endedMs: number[] = [];
  /** The twin process's, until that is started. */
  #theirs = NONE;

  /** `kept`: the reactor's end that another process has left, or -1. */
  constructor(kept = NONE) {
    this.fd = kept;
    if (kept < 0) [this.fd, this.#theirs] = twinChannel();
  }

  /** Starts it, as `command` does; there is none yet. Throws why it cannot be. */
  start(command: readonly string[]): void {
    if (this.#theirs === NONE) return;
    const child = Bun.spawn([...command], {
      argv0: TWINS_NAME,
      cwd: "/",
      detached: true,
      stdio: ["ignore", "ignore", errorOutput(), this.#theirs],
    });
    child.unref();
    close(this.#theirs);
    this.#theirs = NONE;
  }

  /**
   * It is gone, and the reactor's end with it: the reactor's end of a channel for another one,
   * or -1 where too many have ended in a short time.
   */
  renew(): number {
    const nowMs = Date.now();
    this.#endedMs = [...this.#endedMs.filter((ms) => ms > nowMs - ENDS_WITHIN_MS), nowMs];
    [this.fd, this.#theirs] = this.#endedMs.length > ENDS_MAX ? [NONE, NONE] : twinChannel();
    return this.fd;
  }
}

/** Where it says why it ended, if at all: a log file, but not the pipe of whoever waits for us. */
function errorOutput(): "inherit" | "ignore" {
  const stderr = fstatSync(2);
  return stderr.isSocket() || stderr.isFIFO() ? "ignore" : "inherit";
}
