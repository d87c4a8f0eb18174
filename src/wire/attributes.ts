/**
 * Attributes of an inode on the wire: ATTRIBUTE_FIELDS integers in this order,
 * part of the reply's array. The server writes them from statx(2) into the
 * header, the client reads them into this one record, reused for every reply.
 */
import { ProtocolError } from "./error.ts";
import type { Reader } from "./reader.ts";

const NANOSECONDS = 1_000_000_000;

/** Whole seconds may be negative; sizes are bytes, blocks are of 512 bytes. */
export interface Attributes {
  inoHigh: number;
  inoLow: number;
  size: number;
  blocks: number;
  atime: number;
  atimeNs: number;
  mtime: number;
  mtimeNs: number;
  ctime: number;
  ctimeNs: number;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  /** Major and minor number: 12 and 20 bits, as in linux/kdev_t.h. */
  rdev: number;
  blksize: number;
  /** How far it may be cached: see Policy. */
  policy: number;
}

/** A record with every field 0. */
export function emptyAttributes(): Attributes {
  return {
    inoHigh: 0,
    inoLow: 0,
    size: 0,
    blocks: 0,
    atime: 0,
    atimeNs: 0,
    mtime: 0,
    mtimeNs: 0,
    ctime: 0,
    ctimeNs: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    policy: 0,
  };
}

/** Copies every field. */
export function copyAttributes(from: Attributes, into: Attributes): void {
  into.inoHigh = from.inoHigh;
  into.inoLow = from.inoLow;
  into.size = from.size;
  into.blocks = from.blocks;
  into.atime = from.atime;
  into.atimeNs = from.atimeNs;
  into.mtime = from.mtime;
  into.mtimeNs = from.mtimeNs;
  into.ctime = from.ctime;
  into.ctimeNs = from.ctimeNs;
  into.mode = from.mode;
  into.nlink = from.nlink;
  into.uid = from.uid;
  into.gid = from.gid;
  into.rdev = from.rdev;
  into.blksize = from.blksize;
  into.policy = from.policy;
}

function nanoseconds(reader: Reader): number {
  const value = reader.uint();
  if (value >= NANOSECONDS) throw new ProtocolError("nanoseconds exceed a second");
  return value;
}

/** Reads one set of attributes into `into`. */
export function readAttributes(reader: Reader, into: Attributes): void {
  reader.uint64();
  into.inoHigh = reader.high;
  into.inoLow = reader.low;
  into.size = reader.uint();
  into.blocks = reader.uint();
  into.atime = reader.int();
  into.atimeNs = nanoseconds(reader);
  into.mtime = reader.int();
  into.mtimeNs = nanoseconds(reader);
  into.ctime = reader.int();
  into.ctimeNs = nanoseconds(reader);
  into.mode = reader.uint32();
  into.nlink = reader.uint32();
  into.uid = reader.uint32();
  into.gid = reader.uint32();
  into.rdev = reader.uint32();
  into.blksize = reader.uint32();
  into.policy = reader.uint();
}
