/** Byte-range locks as fcntl(2) takes them. */
import { F_RDLCK, F_UNLCK, F_WRLCK, FLOCK } from "../sys/lock.ts";
import type { Region } from "../sys/memory.ts";

/** fs.h: OFFSET_MAX, the end of a lock that reaches to the end of the file. */
export const END_OF_FILE = 0x7fff_ffff_ffff_ffffn;
const TYPES = [F_RDLCK, F_WRLCK, F_UNLCK] as const;

/** A range to lock or free. */
export interface Range {
  /** The wire's Lock type. */
  type: number;
  start: bigint;
  /** Last byte, inclusive. */
  end: bigint;
}

/** Puts the struct flock of `range` into `region`. */
export function putFlock(region: Region, range: Range): void {
  const length = range.end === END_OF_FILE ? 0n : range.end - range.start + 1n;
  region.view.setInt16(FLOCK.type, TYPES[range.type] as number, true);
  region.view.setInt16(FLOCK.whence, 0, true);
  region.view.setBigInt64(FLOCK.start, range.start, true);
  region.view.setBigInt64(FLOCK.len, length, true);
  region.view.setInt32(FLOCK.pid, 0, true);
}
