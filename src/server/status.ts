/**
 * statx(2) as the server uses it: one buffer per thread, the identity of what
 * it describes, and its attributes written to the wire.
 */

import { lseek, SEEK_END } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW } from "../sys/open.ts";
import { STATX, STATX_BASIC_STATS, STATX_BTIME, STATX_STRUCT_SIZE, statx } from "../sys/stat.ts";
import { FileType } from "../wire/constants.ts";
import type { Writer } from "../wire/writer.ts";
import type { Identity } from "./nodes.ts";

const MASK = STATX_BASIC_STATS | STATX_BTIME;
const TWO_32 = 0x1_0000_0000;

const region = allocate(STATX_STRUCT_SIZE + 8);
region.bytes[STATX_STRUCT_SIZE + 2] = ".".charCodeAt(0);
const view = region.view;
const kept = new Uint8Array(STATX_STRUCT_SIZE + 8);
const emptyPath = region.address + STATX_STRUCT_SIZE;

/** Describes `name` in the directory `dirfd` without following it; 0 or -errno. */
export function statName(dirfd: number, name: number): number {
  return statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, MASK, region.address);
}

/** Describes what `fd` is open on; 0 or -errno. */
export function statFd(fd: number): number {
  return statx(fd, emptyPath, AT_EMPTY_PATH, MASK, region.address);
}

/** The same of an open device: a block device's size is there, which is not its inode's. */
export function statDevice(fd: number): number {
  const result = fd < 0 ? fd : statFd(fd);
  if (result < 0 || (mode() & FileType.MASK) !== FileType.BLOCK) return result;
  const bytes = Math.max(0, lseek(fd, 0, SEEK_END));
  view.setUint32(STATX.size, bytes >>> 0, true);
  view.setUint32(STATX.size + 4, Math.floor(bytes / TWO_32), true);
  return 0;
}

/** Address of an empty string, for calls with AT_EMPTY_PATH. */
export const EMPTY_PATH = emptyPath;
/** Address of ".", which is a directory descriptor's own directory. */
export const CURRENT_DIRECTORY = emptyPath + 2;

/** Identity of what was described last. The record is reused. */
export const seen: Identity = { device: 0, inoHigh: 0, inoLow: 0, birth: 0, birthNs: 0 };

/** Puts the identity of what was described last into `seen`. */
export function identify(): Identity {
  seen.device = device();
  seen.inoLow = view.getUint32(STATX.ino, true);
  seen.inoHigh = view.getUint32(STATX.ino + 4, true);
  const born = (view.getUint32(STATX.mask, true) & STATX_BTIME) !== 0;
  seen.birth = born ? view.getUint32(STATX.btimeSec, true) : 0;
  seen.birthNs = born ? view.getUint32(STATX.btimeNsec, true) : 0;
  return seen;
}

/** Device of what was described last, as one number of 32 bits. */
export function device(): number {
  return (
    ((view.getUint32(STATX.devMajor, true) << 20) | view.getUint32(STATX.devMinor, true)) >>> 0
  );
}

/** Mode of what was described last. */
export function mode(): number {
  return view.getUint16(STATX.mode, true);
}

/**
 * A count of the HOST, at most what the wire's integers carry: sizes up to 2^63
 * and times of 2^63 seconds exist (sparse files, utimensat) and must not end a connection.
 */
function uint64(offset: number): number {
  const value = view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
  return Math.min(value, Number.MAX_SAFE_INTEGER);
}

/** User id of what was described last. */
export function owner(): number {
  return view.getUint32(STATX.uid, true);
}

/** Group id of what was described last. */
export function group(): number {
  return view.getUint32(STATX.gid, true);
}

/** Names that what was described last has. */
export function links(): number {
  return view.getUint32(STATX.nlink, true);
}

/** Whether what was described last is a file with more than one name. */
export function hasAliases(): boolean {
  return links() > 1 && (mode() & 0o170000) !== 0o040000;
}

/** The device that what was described last stands for, as on the wire: major, and 20 bits of minor. */
export function rdev(): number {
  const major = view.getUint32(STATX.rdevMajor, true);
  return ((major << 20) | view.getUint32(STATX.rdevMinor, true)) >>> 0;
}

/** Size in bytes of what was described last. */
export function size(): number {
  return uint64(STATX.size);
}

/** Seconds of the change time, low 32 bits. */
export function ctimeLow(): number {
  return view.getUint32(STATX.ctimeSec, true);
}

/** Nanoseconds of the change time. */
export function ctimeNs(): number {
  return view.getUint32(STATX.ctimeNsec, true);
}

const NS_PER_S = 1e9;

/** Change time of what was described last, in ns since 1970, to a quarter of a µs. */
export function changeTimeNs(): number {
  return seconds(STATX.ctimeSec) * NS_PER_S + ctimeNs();
}

/** When what was described last was made; its change time where its file system does not keep that. */
export function birthTimeNs(): number {
  if ((view.getUint32(STATX.mask, true) & STATX_BTIME) === 0) return changeTimeNs();
  return seconds(STATX.btimeSec) * NS_PER_S + view.getUint32(STATX.btimeNsec, true);
}

function seconds(offset: number): number {
  const value = view.getInt32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
  return Math.max(Math.min(value, Number.MAX_SAFE_INTEGER), Number.MIN_SAFE_INTEGER);
}

/** What was described last, put aside while `work` describes other inodes. */
export function keepingStatus<T>(work: () => T): T {
  kept.set(region.bytes);
  const result = work();
  region.bytes.set(kept);
  return result;
}

/**
 * Writes the attributes of what was described last: ATTRIBUTE_FIELDS items.
 * `apart` is mixed into the inode number: 0 for the export's own file system,
 * another number for each other, so that no two inodes of a mount share one. A socket,
 * which is no device, has `listens` in the place of one: who listens at it.
 */
export function writeAttributes(w: Writer, apart: number, policy: number, listens = 0): void {
  w.uint64((view.getUint32(STATX.ino + 4, true) ^ apart) >>> 0, view.getUint32(STATX.ino, true));
  w.uint(uint64(STATX.size));
  w.uint(uint64(STATX.blocks));
  w.int(seconds(STATX.atimeSec));
  w.uint(view.getUint32(STATX.atimeNsec, true));
  w.int(seconds(STATX.mtimeSec));
  w.uint(view.getUint32(STATX.mtimeNsec, true));
  w.int(seconds(STATX.ctimeSec));
  w.uint(view.getUint32(STATX.ctimeNsec, true));
  w.uint(mode());
  w.uint(links());
  w.uint(owner());
  w.uint(group());
  w.uint(listens === 0 ? rdev() : listens);
  w.uint(view.getUint32(STATX.blksize, true));
  w.uint(policy);
}

/** Writes birth time and file attributes (STATX_ATTR_*) of what was described last. */
export function writeBirth(w: Writer): void {
  const born = (view.getUint32(STATX.mask, true) & STATX_BTIME) !== 0;
  w.uint(born ? 1 : 0);
  w.int(born ? seconds(STATX.btimeSec) : 0);
  w.uint(born ? view.getUint32(STATX.btimeNsec, true) : 0);
  w.uint(view.getUint32(STATX.attributes, true));
}
