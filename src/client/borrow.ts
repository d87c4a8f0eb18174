/** For threads with a table of descriptors of their own: what the process has open elsewhere. */
import { readlinkSync } from "node:fs";
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { getpid, pidfdGetfd, pidfdOpen } from "../sys/process.ts";

/** What a channel's descriptor is open on; its number may stand for another file by now. */
const FUSE_DEVICE = /\/fuse$/;

/** Calls `use` with a duplicate of the main thread's descriptor `fd`; its result, or -errno. */
export function withBorrowed(fd: number, use: (own: number) => number): number {
  const process = pidfdOpen(getpid());
  if (process < 0) return process;
  const own = pidfdGetfd(process, fd);
  close(process);
  if (own < 0) return own;
  try {
    return use(own);
  } finally {
    close(own);
  }
}

/** The same for a channel of /dev/fuse: -EBADF where the descriptor is none. */
export function withChannel(fd: number, use: (own: number) => number): number {
  return withBorrowed(fd, (own) =>
    FUSE_DEVICE.test(readlinkSync(`/proc/thread-self/fd/${own}`)) ? use(own) : -E.EBADF,
  );
}
