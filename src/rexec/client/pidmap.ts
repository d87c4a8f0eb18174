/**
 * Which process of the HOST's a rexec stands for, as programs made for the original find it: the
 * file /var/run/rexec/pids/PID, by the number of the rexec, has that of the program, and is
 * locked (flock(2)) while the rexec lives. Root's alone: nobody else may say such things there;
 * and only where that directory is, for others it would be something that is left behind.
 */
import { closeSync, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { flock, LOCK_EX, LOCK_NB } from "../../sys/lock.ts";

const DIRECTORY = "/var/run/rexec/pids";
/** Files of those that were killed which are removed at once: each costs a moment. */
const SWEPT_MAX = 64;

export class PidMap {
  readonly #path = `${DIRECTORY}/${process.pid}`;
  #fd = -1;

  /** The program runs there, as `pid`. Where that cannot be written it is not. */
  put(pid: number): void {
    if (process.getuid?.() !== 0 || this.#fd >= 0) return;
    try {
      sweep();
      this.#fd = openSync(this.#path, "w", 0o644);
      flock(this.#fd, LOCK_EX | LOCK_NB);
      writeSync(this.#fd, `${pid}`);
    } catch {
      // There is no such directory: nobody wants to know.
    }
  }

  remove(): void {
    if (this.#fd < 0) return;
    rmSync(this.#path, { force: true });
    closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Removes what those have left that were killed. */
function sweep(): void {
  for (const name of readdirSync(DIRECTORY).slice(0, SWEPT_MAX)) {
    if (!isGone(name)) continue;
    const path = `${DIRECTORY}/${name}`;
    try {
      const fd = openSync(path, "r");
      // It may be of another PID namespace, where it lives.
      if (flock(fd, LOCK_EX | LOCK_NB) === 0) rmSync(path, { force: true });
      closeSync(fd);
    } catch {
      // Another one has removed it.
    }
  }
}

function isGone(name: string): boolean {
  try {
    process.kill(Number(name), 0);
    return false;
  } catch {
    return true;
  }
}
