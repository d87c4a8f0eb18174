/** Character devices that mean the same on every machine: those of null(4) and random(4). */
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { AT_EMPTY_PATH, AT_FDCWD, close, O_CLOEXEC, O_NOCTTY, openat } from "../../sys/open.ts";
import {
  S_IFCHR,
  S_IFMT,
  STATX,
  STATX_BASIC_STATS,
  STATX_STRUCT_SIZE,
  statx,
} from "../../sys/stat.ts";

/** Major number of memory devices (Documentation/admin-guide/devices.txt). */
export const MEMORY_MAJOR = 1;
/** Their names by minor number. */
export const MEMORY_DEVICES: ReadonlyMap<number, string> = new Map([
  [3, "null"],
  [5, "zero"],
  [7, "full"],
  [8, "random"],
  [9, "urandom"],
]);

const status = allocate(STATX_STRUCT_SIZE);

/** Opens the memory device `minor` with O_* `flags`: a descriptor or -errno. */
export function openMemoryDevice(minor: number, flags: number): number {
  const name = MEMORY_DEVICES.get(minor);
  if (name === undefined) return -E.ENXIO;
  const fd = openat(AT_FDCWD, cstring(`/dev/${name}`), flags | O_CLOEXEC | O_NOCTTY, 0);
  if (fd < 0) return fd;
  const { view, address } = status;
  statx(fd, cstring(""), AT_EMPTY_PATH, STATX_BASIC_STATS, address);
  const isIt =
    (view.getUint16(STATX.mode, true) & S_IFMT) === S_IFCHR &&
    view.getUint32(STATX.rdevMajor, true) === MEMORY_MAJOR &&
    view.getUint32(STATX.rdevMinor, true) === minor;
  if (isIt) return fd;
  close(fd);
  return -E.ENXIO;
}
