/** This machine's numbers in the kernel's requests, as the wire's constants. */
import {
  O_APPEND,
  O_DIRECT,
  O_DSYNC,
  O_EXCL,
  O_NOATIME,
  O_NONBLOCK,
  O_RDWR,
  O_SYNC,
  O_TRUNC,
  O_WRONLY,
} from "../sys/open.ts";
import { OpenFlag } from "../wire/constants.ts";

/** O_SYNC contains O_DSYNC (asm-generic/fcntl.h). */
const ONLY_SYNC = O_SYNC & ~O_DSYNC;

/** Open flags of this architecture, as the wire's. */
export function wireOpenFlags(flags: number): number {
  const access = flags & (O_WRONLY | O_RDWR);
  let wire: number =
    access === O_RDWR
      ? OpenFlag.READ | OpenFlag.WRITE
      : access === O_WRONLY
        ? OpenFlag.WRITE
        : OpenFlag.READ;
  if (flags & O_APPEND) wire |= OpenFlag.APPEND;
  if (flags & O_TRUNC) wire |= OpenFlag.TRUNCATE;
  if (flags & O_EXCL) wire |= OpenFlag.EXCLUSIVE;
  if (flags & O_DIRECT) wire |= OpenFlag.DIRECT;
  if (flags & ONLY_SYNC) wire |= OpenFlag.SYNC;
  if (flags & O_DSYNC) wire |= OpenFlag.DSYNC;
  if (flags & O_NONBLOCK) wire |= OpenFlag.NONBLOCK;
  if (flags & O_NOATIME) wire |= OpenFlag.NOATIME;
  return wire;
}

/** A device number as FUSE has it (new_encode_dev, linux/kdev_t.h), as major and minor. */
export function wireDevice(encoded: number): number {
  const major = (encoded >>> 8) & 0xfff;
  const minor = (encoded & 0xff) | ((encoded >>> 12) & 0xfff00);
  return ((major << 20) | minor) >>> 0;
}

/** A device number of the wire, as FUSE has it. */
export function fuseDevice(wire: number): number {
  const major = wire >>> 20;
  const minor = wire & 0xfffff;
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;
}
