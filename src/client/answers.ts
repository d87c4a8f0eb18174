/** The kernel's structs that describe an inode, written from the wire's attributes. */
import {
  ATTR,
  ATTR_OUT,
  ATTR_OUT_SIZE,
  ENTRY_OUT,
  ENTRY_OUT_SIZE,
  STATX_OUT,
  STATX_OUT_SIZE,
} from "../fuse/protocol.ts";
import { STATX, STATX_BASIC_STATS, STATX_BTIME } from "../sys/stat.ts";
import type { Attributes } from "../wire/attributes.ts";
import { FileType, Policy } from "../wire/constants.ts";
import { fuseDevice } from "./native.ts";

const TWO_32 = 0x1_0000_0000;

/** How long the kernel may believe what it is told, in whole seconds, by Policy. */
export interface Validity {
  /** Whether devices are shown as files, whose reads and writes are the HOST's. */
  deviceFiles?: boolean;
  /** Of files on a disk of which the server cannot tell changes. */
  ordinarySeconds: number;
  /** Of files whose changes the server tells. */
  watchedSeconds: number;
}

/** Whether `a` is a device that is shown as a file. */
export function isDeviceFile(a: Attributes, { deviceFiles }: Validity): boolean {
  if (deviceFiles !== true) return false;
  const type = a.mode & FileType.MASK;
  return type === FileType.CHARACTER || type === FileType.BLOCK;
}

/**
 * Whether `a` is what processes meet at: the kernel is to ask for it each time, so that who is
 * at the other end is known then (twins/).
 */
function isMeetingPlace({ mode }: Attributes): boolean {
  const type = mode & FileType.MASK;
  return type === FileType.SOCKET || type === FileType.FIFO;
}

/** The device, where there is one: of a socket the field says what listens there. */
function deviceOf(a: Attributes, isFile: boolean): number {
  return isFile || isMeetingPlace(a) ? 0 : a.rdev;
}

function seconds(a: Attributes, validity: Validity): number {
  const { policy } = a;
  if (isDeviceFile(a, validity) || isMeetingPlace(a)) return 0;
  if (policy === Policy.WATCHED) return validity.watchedSeconds;
  return policy === Policy.ORDINARY ? validity.ordinarySeconds : 0;
}

/**
 * How long a name of `a` may be believed: not at all where the inode has others.
 * The kernel takes a link off its own count when a name goes (fuse_entry_unlinked),
 * also where it was told the new count a moment before; an inode it then believes to
 * have none cannot be linked (vfs_link), until the name is asked for again.
 */
function nameSeconds(a: Attributes, valid: number): number {
  const isDirectory = (a.mode & FileType.MASK) === FileType.DIRECTORY;
  return a.nlink > 1 && !isDirectory ? 0 : valid;
}

/** The mode of a regular file with the permissions of `mode`. */
function fileMode(mode: number): number {
  return (mode & ~FileType.MASK) | FileType.REGULAR;
}

/** Writes a signed or unsigned 64-bit number below 2^53. */
export function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / TWO_32), true);
}

/** Writes struct fuse_attr. */
export function putAttributes(view: DataView, at: number, a: Attributes, validity: Validity): void {
  view.setUint32(at + ATTR.ino, a.inoLow, true);
  view.setUint32(at + ATTR.ino + 4, a.inoHigh, true);
  put64(view, at + ATTR.size, a.size);
  put64(view, at + ATTR.blocks, a.blocks);
  put64(view, at + ATTR.atime, a.atime);
  put64(view, at + ATTR.mtime, a.mtime);
  put64(view, at + ATTR.ctime, a.ctime);
  view.setUint32(at + ATTR.atimensec, a.atimeNs, true);
  view.setUint32(at + ATTR.mtimensec, a.mtimeNs, true);
  view.setUint32(at + ATTR.ctimensec, a.ctimeNs, true);
  const isFile = isDeviceFile(a, validity);
  view.setUint32(at + ATTR.mode, isFile ? fileMode(a.mode) : a.mode, true);
  view.setUint32(at + ATTR.nlink, a.nlink, true);
  view.setUint32(at + ATTR.uid, a.uid, true);
  view.setUint32(at + ATTR.gid, a.gid, true);
  view.setUint32(at + ATTR.rdev, fuseDevice(deviceOf(a, isFile)), true);
  view.setUint32(at + ATTR.blksize, a.blksize, true);
  view.setUint32(at + ATTR.flags, 0, true);
}

/** Writes struct fuse_entry_out; its size. */
export function putEntry(
  view: DataView,
  at: number,
  nodeHigh: number,
  nodeLow: number,
  a: Attributes,
  validity: Validity,
): number {
  const valid = seconds(a, validity);
  view.setUint32(at + ENTRY_OUT.nodeid, nodeLow, true);
  view.setUint32(at + ENTRY_OUT.nodeid + 4, nodeHigh, true);
  put64(view, at + ENTRY_OUT.generation, 0);
  put64(view, at + ENTRY_OUT.entry_valid, nameSeconds(a, valid));
  put64(view, at + ENTRY_OUT.attr_valid, valid);
  put64(view, at + ENTRY_OUT.entry_valid_nsec, 0);
  putAttributes(view, at + ENTRY_OUT.attr, a, validity);
  return ENTRY_OUT_SIZE;
}

/** The name of the struct fuse_entry_out at `at` is not to be believed: it is asked for again. */
export function distrustName(view: DataView, at: number): void {
  put64(view, at + ENTRY_OUT.entry_valid, 0);
}

/** Writes the struct fuse_entry_out that says a name does not exist in a watched directory. */
export function putAbsent(view: DataView, at: number, validSeconds: number): number {
  for (let i = 0; i < ENTRY_OUT_SIZE; i += 8) put64(view, at + i, 0);
  put64(view, at + ENTRY_OUT.entry_valid, validSeconds);
  return ENTRY_OUT_SIZE;
}

/** Writes struct fuse_attr_out; its size. */
export function putAttrOut(view: DataView, at: number, a: Attributes, validity: Validity): number {
  put64(view, at + ATTR_OUT.attr_valid, seconds(a, validity));
  put64(view, at + ATTR_OUT.attr_valid_nsec, 0);
  putAttributes(view, at + ATTR_OUT.attr, a, validity);
  return ATTR_OUT_SIZE;
}

/** Birth time and attribute bits that statx(2) has beyond the others. */
export interface Birth {
  known: boolean;
  seconds: number;
  nanoseconds: number;
  attributes: number;
}

/**
 * Writes struct fuse_statx_out; its size. Its `stat` has the layout of struct
 * statx up to the device numbers (linux/fuse.h: struct fuse_statx).
 */
export function putStatxOut(
  view: DataView,
  at: number,
  a: Attributes,
  birth: Birth,
  validity: Validity,
): number {
  for (let i = 0; i < STATX_OUT_SIZE; i += 8) put64(view, at + i, 0);
  put64(view, at + STATX_OUT.attr_valid, seconds(a, validity));
  const stat = at + STATX_OUT.stat;
  view.setUint32(stat + STATX.mask, STATX_BASIC_STATS | (birth.known ? STATX_BTIME : 0), true);
  view.setUint32(stat + STATX.blksize, a.blksize, true);
  put64(view, stat + STATX.attributes, birth.attributes);
  view.setUint32(stat + STATX.nlink, a.nlink, true);
  view.setUint32(stat + STATX.uid, a.uid, true);
  view.setUint32(stat + STATX.gid, a.gid, true);
  const isFile = isDeviceFile(a, validity);
  view.setUint16(stat + STATX.mode, isFile ? fileMode(a.mode) : a.mode, true);
  view.setUint32(stat + STATX.ino, a.inoLow, true);
  view.setUint32(stat + STATX.ino + 4, a.inoHigh, true);
  put64(view, stat + STATX.size, a.size);
  put64(view, stat + STATX.blocks, a.blocks);
  putTime(view, stat + STATX.atimeSec, a.atime, a.atimeNs);
  putTime(view, stat + STATX.btimeSec, birth.seconds, birth.nanoseconds);
  putTime(view, stat + STATX.ctimeSec, a.ctime, a.ctimeNs);
  putTime(view, stat + STATX.mtimeSec, a.mtime, a.mtimeNs);
  view.setUint32(stat + STATX.rdevMajor, deviceOf(a, isFile) >>> 20, true);
  view.setUint32(stat + STATX.rdevMinor, deviceOf(a, isFile) & 0xfffff, true);
  return STATX_OUT_SIZE;
}

function putTime(view: DataView, at: number, seconds: number, nanoseconds: number): void {
  put64(view, at, seconds);
  view.setUint32(at + 8, nanoseconds, true);
}
