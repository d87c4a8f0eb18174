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
import { F_SETFD, FD_CLOEXEC, fcntlInt, O_CLOEXEC } from "../sys/open.ts";

const SHELL = "/bin/sh";
/** Says that NEXT is what it is said to be, to the successor alone. */
const NEXT_VARIABLE = "QTFS_FIRST_KEEPER";
/** Keepers that may follow one another without a daemon that has started one itself. */
const FOLLOWERS_MAX = 5;
/**
 * Its arguments are the script itself, how many may follow, and the command. Before
 * it becomes the command it starts that one's keeper, which reads from a FIFO
 * that only the command has open (NEXT): there is no moment without one.
 */
const SCRIPT = `
read -r word <&3 && exit 0
exec 3<&-
script=$1 left=$2
shift 2
next=$(mktemp -u /tmp/qtfs-keeper.XXXXXXXXXX)
if [ "$left" -gt 0 ] && mkfifo -m 600 "$next"; then
  ( ${SHELL} -c "$script" "$0" "$script" $((left - 1)) "$@" 3<"$next" & )
  exec 6>"$next"
  rm -f "$next"
  export ${NEXT_VARIABLE}=6
fi
exec "$@"`;
/** What people see in ps(1). */
const NAME = "qtfs-keeper";
/** A shell that is one of many programs in one (busybox) goes by what is behind the last slash. */
const ARGV0 = `${NAME}/sh`;

/** Descriptors that a daemon leaves. */
export interface Kept {
  /** Of /dev/fuse. */
  fuse: number;
  /** Of the record. */
  record: number;
  /** Where the channels of other superblocks are (submounts/channelstore.ts); -1 for none. */
  channels: number;
  /** The reactor's end of the channel with the twin process (twins/channel.ts); -1 for none. */
  twins: number;
}

/** Where the successor finds them. */
export const KEPT: Kept = { fuse: 4, record: 5, channels: 7, twins: 8 };
/** What the successor holds its first keeper by, which it did not start itself. */
const NEXT = 6;

/** In the successor: that keeper, until it has one of its own. */
export class FirstKeeper {
  #isThere = process.env[NEXT_VARIABLE] === String(NEXT);

  constructor() {
    delete process.env[NEXT_VARIABLE];
    // Another program must not keep it waiting.
    if (this.#isThere) fcntlInt(NEXT, F_SETFD, FD_CLOEXEC);
  }

  /** Ends it. */
  dismiss(): void {
    if (!this.#isThere) return;
    this.#isThere = false;
    sayEnd(NEXT);
  }
}

/** Has the keeper at the other end of `fd` end without becoming anything. */
function sayEnd(fd: number): void {
  try {
    writeSync(fd, "end\n");
  } catch {
    // It was killed a moment ago.
  }
  closeSync(fd);
}

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
  constructor(command: readonly string[], own: Kept, gone: () => void) {
    const { fuse, record, channels, twins } = own;
    const ends = pipe2(O_CLOEXEC);
    if (typeof ends === "number") throw new Error(`Cannot make a pipe: errno ${-ends}`);
    const [readEnd, writeEnd] = ends;
    this.#pipe = writeEnd;
    this.#child = Bun.spawn([SHELL, "-c", SCRIPT, NAME, SCRIPT, `${FOLLOWERS_MAX}`, ...command], {
      argv0: ARGV0,
      cwd: "/",
      detached: true,
      stdio: [
        ...(["ignore", "ignore", errorOutput()] as const),
        ...[readEnd, fuse, record],
        // NEXT, which the script opens: nothing else of ours may be there meanwhile.
        record,
        channels < 0 ? record : channels,
        ...(twins < 0 ? [] : [twins]),
      ],
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
    sayEnd(this.#pipe);
  }
}

/** Where the successor logs to: a log file, but not the pipe to whoever waits for us to be ready. */
function errorOutput(): "inherit" | "ignore" {
  const stderr = fstatSync(2);
  return stderr.isSocket() || stderr.isFIFO() ? "ignore" : "inherit";
}
