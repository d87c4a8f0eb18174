/**
 * Files and directories that programs pass over sockets, as the client describes and opens
 * them. One that is open here on the mount is opened by the server as well (PASS_OPEN),
 * whose key says it; one of the HOST's is opened on the mount by its path there.
 */
import { flagsOfPassed } from "../../bridge/rights/flags.ts";
import type { Described, ShareFiles } from "../../bridge/rights/share.ts";
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { AT_EMPTY_PATH, AT_STATX_DONT_SYNC } from "../../sys/open.ts";
import { STATX, STATX_STRUCT_SIZE, STATX_TYPE, statx } from "../../sys/stat.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { Op } from "../../wire/ops.ts";
import { nodeOf } from "../nodehandle.ts";
import type { TwinSide } from "./side.ts";

/**
 * How long the server keeps a file for the message that tells of it: longer than a
 * session may be without a connection.
 */
const KEY_MS = 90_000;

const status = allocate(STATX_STRUCT_SIZE);

/** Device of the file system of `fd`, as superblocks.ts has it; -1 for none. */
function deviceOf(fd: number): number {
  const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  if (statx(fd, cstring(""), flags, STATX_TYPE, status.address) < 0) return -1;
  const { view } = status;
  return (view.getUint32(STATX.devMajor, true) << 20) | view.getUint32(STATX.devMinor, true);
}

type Asker = Pick<TwinSide, "loop" | "doorman" | "ask">;
type Done = (what: Described | undefined | number) => void;

/** The mount's files. */
export function sharedFiles(side: Asker): ShareFiles {
  return {
    describe: (fd, flags, done) => describe(side, fd, flags, done),
    open: ([path, inode], flags, done) => {
      const isGood =
        path instanceof Uint8Array && path.length <= PATH_MAX && typeof inode === "number";
      if (!isGood) done(-E.EBADMSG);
      else {
        const text = Buffer.from(path).toString("latin1");
        const job = { kind: "openPath", path: text, inode, flags: flagsOfPassed(flags) } as const;
        side.doorman.ask(job, ({ result }) => done(result));
      }
    },
    // The kernel has the mount's process told of it, and waits.
    close: (fd) => side.doorman.ask({ kind: "close", fd }, () => {}),
  };
}

/** Has the server open the file, too: `[key]`. */
function describe(side: Asker, fd: number, flags: number, done: Done): void {
  const node = nodeOf(fd);
  if (typeof node === "number") {
    done(undefined);
    return;
  }
  side.doorman.ask({ kind: "has", device: deviceOf(fd), node }, ({ result }) => {
    if (result < 0) {
      done(undefined);
      return;
    }
    side.ask(Op.PASS_OPEN, [node, flags], (errno, [key = 0]) => {
      if (errno !== 0) {
        done(errno);
        return;
      }
      side.loop.after(KEY_MS, () => side.ask(Op.TWIN_CLOSE, [key], () => {}));
      done([key]);
    });
  });
}
