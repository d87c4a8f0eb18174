/** A description of one's own of what a program has open, which may be told not to wait. */
import { cstring } from "../../sys/cstring.ts";
import {
  AT_FDCWD,
  close,
  O_ACCMODE,
  O_CLOEXEC,
  O_NOCTTY,
  O_NONBLOCK,
  openat,
} from "../../sys/open.ts";

/**
 * A descriptor of the same pipe or terminal, opened anew with O_NONBLOCK, so that the
 * program's own does not change; `fd` is closed. Where that fails (nobody reads the pipe any
 * more, the terminal has hung up) it is `fd` itself, on which nothing waits any more.
 */
export function reopened(fd: number, flags: number): number {
  const how = (flags & O_ACCMODE) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  const own = openat(AT_FDCWD, cstring(`/proc/self/fd/${fd}`), how, 0);
  if (own < 0) return fd;
  close(fd);
  return own;
}
