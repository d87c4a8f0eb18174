/** Attributes of files and file systems. */
import { addr, i32, libc, orErrno, u32 } from "./libc.ts";

const c = libc({
  statx: { args: [i32, addr, i32, u32, addr], returns: i32 },
  fstatfs: { args: [i32, addr], returns: i32 },
});

/**
 * Offsets of struct statx (linux/stat.h), the same on every machine.
 *
 * u64: attributes, ino, size, blocks, attributesMask, mntId; i64: …Sec;
 * u16: mode; the others are u32.
 */
export const STATX = {
  mask: 0,
  blksize: 4,
  attributes: 8,
  nlink: 16,
  uid: 20,
  gid: 24,
  mode: 28,
  ino: 32,
  size: 40,
  blocks: 48,
  attributesMask: 56,
  atimeSec: 64,
  atimeNsec: 72,
  btimeSec: 80,
  btimeNsec: 88,
  ctimeSec: 96,
  ctimeNsec: 104,
  mtimeSec: 112,
  mtimeNsec: 120,
  rdevMajor: 128,
  rdevMinor: 132,
  devMajor: 136,
  devMinor: 140,
  mntId: 144,
  dioMemAlign: 152,
  dioOffsetAlign: 156,
} as const;
/** sizeof(struct statx). (STATX_SIZE is the mask bit of the file's size.) */
export const STATX_STRUCT_SIZE = 256;

// linux/stat.h: what to ask for, and what was answered
export const STATX_TYPE = 0x0001;
export const STATX_MODE = 0x0002;
export const STATX_NLINK = 0x0004;
export const STATX_UID = 0x0008;
export const STATX_GID = 0x0010;
export const STATX_ATIME = 0x0020;
export const STATX_MTIME = 0x0040;
export const STATX_CTIME = 0x0080;
export const STATX_INO = 0x0100;
export const STATX_SIZE = 0x0200;
export const STATX_BLOCKS = 0x0400;
export const STATX_BASIC_STATS = 0x07ff;
export const STATX_BTIME = 0x0800;
export const STATX_MNT_ID = 0x1000;
export const STATX_DIOALIGN = 0x2000;

// linux/stat.h: stx_attributes
export const STATX_ATTR_COMPRESSED = 0x0004;
export const STATX_ATTR_IMMUTABLE = 0x0010;
export const STATX_ATTR_APPEND = 0x0020;
export const STATX_ATTR_NODUMP = 0x0040;
export const STATX_ATTR_ENCRYPTED = 0x0800;
export const STATX_ATTR_AUTOMOUNT = 0x1000;
export const STATX_ATTR_MOUNT_ROOT = 0x2000;
export const STATX_ATTR_VERITY = 0x100000;
export const STATX_ATTR_DAX = 0x200000;

// linux/stat.h: file types and special bits of the mode
export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

/** statx(2) into STATX_STRUCT_SIZE bytes at `statxAddress`. Returns 0 or -errno. */
export function statx(
  dirfd: number,
  path: number,
  flags: number,
  mask: number,
  statxAddress: number,
): number {
  return orErrno(c.statx(dirfd, path, flags, mask, statxAddress));
}

/**
 * Offsets of struct statfs on 64-bit machines (asm-generic/statfs.h): all
 * fields are 64 bits, but fsid, which is two i32.
 */
export const STATFS = {
  type: 0,
  bsize: 8,
  blocks: 16,
  bfree: 24,
  bavail: 32,
  files: 40,
  ffree: 48,
  fsid: 56,
  namelen: 64,
  frsize: 72,
  flags: 80,
} as const;
export const STATFS_STRUCT_SIZE = 120;

/** fstatfs(2) into STATFS_STRUCT_SIZE bytes at `address`; an O_PATH descriptor will do. */
export function fstatfs(fd: number, address: number): number {
  return orErrno(c.fstatfs(fd, address));
}
