/** How a descriptor that is passed was opened: this machine's flags (fcntl(2)), and the wire's. */
import {
  O_ACCMODE,
  O_APPEND,
  O_DIRECT,
  O_DSYNC,
  O_NOATIME,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_SYNC,
  O_WRONLY,
} from "../../sys/open.ts";
import { OpenFlag } from "../../wire/constants.ts";

/** O_SYNC contains O_DSYNC (asm-generic/fcntl.h). */
const ONLY_SYNC = O_SYNC & ~O_DSYNC;

/** Those that F_GETFL tells and an open can be asked for, but for the access mode. */
const PAIRS: readonly (readonly [host: number, wire: number])[] = [
  [O_APPEND, OpenFlag.APPEND],
  [O_DIRECT, OpenFlag.DIRECT],
  [ONLY_SYNC, OpenFlag.SYNC],
  [O_DSYNC, OpenFlag.DSYNC],
  [O_NONBLOCK, OpenFlag.NONBLOCK],
  [O_NOATIME, OpenFlag.NOATIME],
];

/** Of F_GETFL, as OpenFlag; neither READ nor WRITE: O_PATH. */
export function passedFlags(flags: number): number {
  if ((flags & O_PATH) !== 0) return 0;
  const access = flags & O_ACCMODE;
  let wire: number = access === O_WRONLY ? OpenFlag.WRITE : OpenFlag.READ;
  if (access === O_RDWR) wire |= OpenFlag.WRITE;
  for (const [host, one] of PAIRS) if ((flags & host) !== 0) wire |= one;
  return wire;
}

/** The flags that `wire` is opened with here. */
export function flagsOfPassed(wire: number): number {
  const [reads, writes] = [(wire & OpenFlag.READ) !== 0, (wire & OpenFlag.WRITE) !== 0];
  if (!reads && !writes) return O_PATH;
  let flags = reads ? (writes ? O_RDWR : O_RDONLY) : O_WRONLY;
  for (const [host, one] of PAIRS) if ((wire & one) !== 0) flags |= host;
  return flags;
}
