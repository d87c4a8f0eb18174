/** How the HOST's kernel is told what the wire's open flags say. */
import {
  O_APPEND,
  O_CLOEXEC,
  O_NOATIME,
  O_NOCTTY,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
} from "../sys/open.ts";
import { OPEN_FLAGS_ALL, OpenFlag } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";

/**
 * The HOST's open flags for the wire's. O_DIRECT is the client's affair (its
 * buffers are aligned, ours are not), O_SYNC is done by calls after the write.
 */
export function hostFlags(flags: number): number {
  if ((flags & ~OPEN_FLAGS_ALL) !== 0) throw new ProtocolError(`unknown open flags ${flags}`);
  const writes = (flags & OpenFlag.WRITE) !== 0;
  const reads = (flags & OpenFlag.READ) !== 0;
  let host = writes ? (reads ? O_RDWR : O_WRONLY) : O_RDONLY;
  if (flags & OpenFlag.APPEND) host |= O_APPEND;
  if (flags & OpenFlag.NOATIME) host |= O_NOATIME;
  return host | O_CLOEXEC | O_NOCTTY;
}
