/** Attributes that the kernel is told in answer to ghost operations. */
import { STATX } from "../../sys/stat.ts";
import { type Attributes, emptyAttributes } from "../../wire/attributes.ts";
import { Policy } from "../../wire/constants.ts";

/** High half of the numbers of nodes that are not there: no server gives it (nodes.ts). */
export const GHOST_HIGH = 0xffff_ffff;

const attributes: Attributes = { ...emptyAttributes(), policy: Policy.LIVE };

/** Those of something of type `type` that is not there, numbered `low`. The record is reused. */
export function attributesOf(type: number, low: number): Attributes {
  const a = Object.assign(attributes, emptyAttributes());
  a.policy = Policy.LIVE;
  a.nlink = 1;
  a.mode = type | 0o700;
  a.inoLow = low;
  a.inoHigh = GHOST_HIGH;
  return a;
}

/** Those in a struct statx of the kernel. The same record. */
export function attributesFrom(status: DataView): Attributes {
  const u32 = (at: number) => status.getUint32(at, true);
  const u64 = (at: number) => Number(status.getBigUint64(at, true));
  const i64 = (at: number) => Number(status.getBigInt64(at, true));
  const a = attributes;
  a.policy = Policy.LIVE;
  a.mode = status.getUint16(STATX.mode, true);
  [a.inoHigh, a.inoLow] = [u32(STATX.ino + 4), u32(STATX.ino)];
  [a.nlink, a.uid, a.gid] = [u32(STATX.nlink), u32(STATX.uid), u32(STATX.gid)];
  [a.size, a.blocks, a.blksize] = [u64(STATX.size), u64(STATX.blocks), u32(STATX.blksize)];
  [a.atime, a.atimeNs] = [i64(STATX.atimeSec), u32(STATX.atimeNsec)];
  [a.mtime, a.mtimeNs] = [i64(STATX.mtimeSec), u32(STATX.mtimeNsec)];
  [a.ctime, a.ctimeNs] = [i64(STATX.ctimeSec), u32(STATX.ctimeNsec)];
  a.rdev = ((u32(STATX.rdevMajor) << 20) | u32(STATX.rdevMinor)) >>> 0;
  return a;
}
