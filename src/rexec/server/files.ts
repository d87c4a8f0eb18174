/** Files that the program gets by their paths: opened here, where they are the same as the client's. */
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { lseek, SEEK_CUR, SEEK_SET } from "../../sys/io.ts";
import {
  AT_FDCWD,
  close,
  F_DUPFD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_PATH,
  openat,
} from "../../sys/open.ts";
import { PROGRAM_FD_MAX, PROGRAM_FDS_MAX } from "../../wire/limits.ts";
import { identify } from "../identity.ts";
import type { OrderedFile } from "../order.ts";

const paths = new PathBuffer(1);

export class ProgramFiles {
  /** Descriptors by the files' indices; -1: not the same here. */
  #fds: number[] = [];

  /** Opens those that are the same, with the rights that the calling thread has. */
  open(files: readonly OrderedFile[]): void {
    this.#fds = files.map(openSame);
  }

  /** A descriptor under a number that none of the program's can have, or -1. */
  fd(index: number): number {
    return this.#fds[index] ?? -1;
  }

  /** The program has ended: (PROGRAM_FDS_MAX + index, position) of each, for ENDED. */
  finished(): number[] {
    const positions = this.#fds.flatMap((fd, index) =>
      fd < 0 ? [] : [PROGRAM_FDS_MAX + index, Math.max(0, lseek(fd, 0, SEEK_CUR))],
    );
    this.close();
    return positions;
  }

  close(): void {
    for (const fd of this.#fds) if (fd >= 0) close(fd);
    this.#fds = [];
  }
}

function openSame({ path, flags, offset, identity }: OrderedFile): number {
  // To open something else could wait for ever, or do harm.
  const found = openat(AT_FDCWD, paths.putBytes(0, path, 0, path.length), O_PATH | O_CLOEXEC, 0);
  if (found < 0) return -1;
  try {
    if (identify(found)?.equals(identity) !== true) return -1;
    const fd = openat(AT_FDCWD, cstring(`/proc/self/fd/${found}`), flags | O_CLOEXEC, 0);
    if (fd < 0) return -1;
    const high = fcntlInt(fd, F_DUPFD_CLOEXEC, PROGRAM_FD_MAX + 1);
    close(fd);
    lseek(high, offset, SEEK_SET);
    return high;
  } finally {
    close(found);
  }
}
