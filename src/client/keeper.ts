/**
 * The keeper: a process that holds the mount's descriptor of /dev/fuse and its
 * record, and does nothing until the daemon has died; then it becomes the next
 * daemon. The kernel keeps a mount as long as anybody holds that descriptor, so
 * callers wait where they would have got an error.
 *
 * It is a shell that reads from a pipe of which only the daemon has the other
 * end: a word means that the mount has ended, the end of the pipe that the daemon
 * has. A second runtime would cost 30 MB for that; the shell costs half of one.
 */
import { closeSync, fstatSync, writeSync } from "node:fs";
import { pipe2 } from "../sys/io.ts";
import { O_CLOEXEC } from "../sys/open.ts";

const SHELL = "/bin/sh";
const SCRIPT = 'read -r word <&3 && exit 0; exec "$@" 3<&-';
/** What people see in ps(1). */
const NAME = "qtfs-keeper";

/** Descriptors that the successor finds open. */
export const KEPT = { fuse: 4, record: 5 } as const;

/** Who has what the next daemon needs, should this one die. */
export interface Guardian {
  /** The process that becomes the next daemon; undefined where somebody else starts it. */
  readonly pid: number | undefined;
  /** The mount has ended: nobody is to take over. */
  dismiss(): void;
}

export class Keeper implements Guardian {
  readonly #child: Bun.Subprocess;
  readonly #pipe: number;
  #isDismissed = false;

  /**
   * Starts one that becomes `command`. `gone` is called if it ends without that:
   * somebody has killed it.
   */
  constructor(command: readonly string[], fuseFd: number, recordFd: number, gone: () => void) {
    const ends = pipe2(O_CLOEXEC);
    if (typeof ends === "number") throw new Error(`Cannot make a pipe: errno ${-ends}`);
    const [readEnd, writeEnd] = ends;
    this.#pipe = writeEnd;
    this.#child = Bun.spawn([SHELL, "-c", SCRIPT, NAME, ...command], {
      argv0: NAME,
      cwd: "/",
      detached: true,
      stdio: ["ignore", "ignore", errorOutput(), readEnd, fuseFd, recordFd],
      onExit: () => {
        if (this.#isDismissed) return;
        this.#isDismissed = true;
        closeSync(writeEnd);
        gone();
      },
    });
    closeSync(readEnd);
    this.#child.unref();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Ends it: the mount has ended, or another keeper has been started. */
  dismiss(): void {
    if (this.#isDismissed) return;
    this.#isDismissed = true;
    try {
      writeSync(this.#pipe, "end\n");
    } catch {
      // It was killed a moment ago.
    }
    closeSync(this.#pipe);
  }
}

/** Where the successor logs to: a log file, but not the pipe to whoever waits for us to be ready. */
function errorOutput(): "inherit" | "ignore" {
  const stderr = fstatSync(2);
  return stderr.isSocket() || stderr.isFIFO() ? "ignore" : "inherit";
}
