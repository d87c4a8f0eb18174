/** Reading attributes: statx(2) in its uses, statfs(2), access(2). */
import { addr, i32, libc, u32 } from "../../../src/sys/libc.ts";
import { type Path, pathAddress, space } from "./arena.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  STATX_BASIC_STATS,
  STATX_BTIME,
} from "./constants.ts";
import { must } from "./failure.ts";

const c = libc({
  statx: { args: [i32, addr, i32, u32, addr], returns: i32 },
  statfs: { args: [addr, addr], returns: i32 },
  fstatfs: { args: [i32, addr], returns: i32 },
  faccessat: { args: [i32, addr, i32, i32], returns: i32 },
});

/** What statx(2) tells; times in nanoseconds since 1970. */
export interface Attributes {
  mask: number;
  attributes: bigint;
  blksize: number;
  nlink: number;
  uid: number;
  gid: number;
  mode: number;
  ino: bigint;
  size: number;
  blocks: number;
  atime: bigint;
  btime: bigint;
  ctime: bigint;
  mtime: bigint;
  rdevMajor: number;
  rdevMinor: number;
  devMajor: number;
  devMinor: number;
}

function decode(view: DataView): Attributes {
  const time = (at: number) =>
    view.getBigInt64(at, true) * 1_000_000_000n + BigInt(view.getUint32(at + 8, true));
  return {
    mask: view.getUint32(0, true),
    blksize: view.getUint32(4, true),
    attributes: view.getBigUint64(8, true),
    nlink: view.getUint32(16, true),
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: Number(view.getBigUint64(40, true)),
    blocks: Number(view.getBigUint64(48, true)),
    atime: time(64),
    btime: time(80),
    ctime: time(96),
    mtime: time(112),
    rdevMajor: view.getUint32(128, true),
    rdevMinor: view.getUint32(132, true),
    devMajor: view.getUint32(136, true),
    devMinor: view.getUint32(140, true),
  };
}

export function statx(
  path: Path,
  flags = 0,
  mask = STATX_BASIC_STATS | STATX_BTIME,
  dirfd = AT_FDCWD,
): Attributes {
  const room = space(256);
  const result = c.statx(dirfd, pathAddress(path), flags, mask, room.address);
  must("statx", [path, flags, mask, dirfd], result);
  return decode(room.view);
}

export function stat(path: Path, dirfd = AT_FDCWD): Attributes {
  return statx(path, 0, STATX_BASIC_STATS, dirfd);
}

export function lstat(path: Path, dirfd = AT_FDCWD): Attributes {
  return statx(path, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, dirfd);
}

export function fstat(fd: number): Attributes {
  return statx("", AT_EMPTY_PATH, STATX_BASIC_STATS, fd);
}

/** What statfs(2) tells (struct statfs of 64-bit Linux). */
export interface FileSystem {
  type: number;
  blockSize: number;
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  nameLength: number;
}

function decodeFileSystem(view: DataView): FileSystem {
  const word = (index: number) => Number(view.getBigUint64(index * 8, true));
  return {
    type: word(0),
    blockSize: word(1),
    blocks: word(2),
    blocksFree: word(3),
    blocksAvailable: word(4),
    files: word(5),
    filesFree: word(6),
    nameLength: word(8),
  };
}

export function statfs(path: Path): FileSystem {
  const room = space(120);
  must("statfs", [path], c.statfs(pathAddress(path), room.address));
  return decodeFileSystem(room.view);
}

export function fstatfs(fd: number): FileSystem {
  const room = space(120);
  must("fstatfs", [fd], c.fstatfs(fd, room.address));
  return decodeFileSystem(room.view);
}

/** access(2) with `flags` 0; AT_EACCESS asks with the effective ids. */
export function access(path: Path, mode: number, flags = 0, dirfd = AT_FDCWD): void {
  must("access", [path, mode, flags], c.faccessat(dirfd, pathAddress(path), mode, flags));
}
