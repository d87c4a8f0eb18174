/** Changing attributes: mode, owner, times, inode flags. */
import { addr, i32, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { type Path, pathAddress, space } from "./arena.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  FICLONE,
  FS_IOC_FSGETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_GETVERSION,
  FS_IOC_SETFLAGS,
} from "./constants.ts";
import { must, octal } from "./failure.ts";

const c = libc({
  fchmodat: { args: [i32, addr, u32, i32], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fchownat: { args: [i32, addr, u32, u32, i32], returns: i32 },
  fchown: { args: [i32, u32, u32], returns: i32 },
  utimensat: { args: [i32, addr, addr, i32], returns: i32 },
  futimens: { args: [i32, addr], returns: i32 },
  ioctl: { args: [i32, u64, addr], returns: i32 },
});

/** uid or gid that leaves the owner as it is. */
export const KEEP = 0xffffffff;

export function chmod(path: Path, mode: number, dirfd = AT_FDCWD): void {
  must("chmod", [path, octal(mode)], c.fchmodat(dirfd, pathAddress(path), mode, 0));
}

export function fchmod(fd: number, mode: number): void {
  must("fchmod", [fd, octal(mode)], c.fchmod(fd, mode));
}

export function chown(path: Path, uid: number, gid: number, flags = 0, dirfd = AT_FDCWD): void {
  const result = c.fchownat(dirfd, pathAddress(path), uid, gid, flags);
  must("chown", [path, uid, gid, flags], result);
}

export function lchown(path: Path, uid: number, gid: number): void {
  chown(path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

export function fchown(fd: number, uid: number, gid: number): void {
  must("fchown", [fd, uid, gid], c.fchown(fd, uid, gid));
}

/** Two `struct timespec`; nanoseconds that are UTIME_NOW or UTIME_OMIT go as such. */
function times(atime: bigint, mtime: bigint): number {
  const room = space(32);
  [atime, mtime].forEach((time, index) => {
    const special = time === 0x3fffffffn || time === 0x3ffffffen;
    // Nanoseconds are never negative: they count up from the second before.
    const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    const seconds = special ? 0n : (time - nanoseconds) / 1_000_000_000n;
    room.view.setBigInt64(index * 16, seconds, true);
    room.view.setBigInt64(index * 16 + 8, special ? time : nanoseconds, true);
  });
  return room.address;
}

/** Sets times in nanoseconds since 1970, or UTIME_NOW / UTIME_OMIT. */
export function utimens(path: Path, atime: bigint, mtime: bigint, flags = 0): void {
  const result = c.utimensat(AT_FDCWD, pathAddress(path), times(atime, mtime), flags);
  must("utimensat", [path, atime, mtime, flags], result);
}

/** utimensat(2) with a NULL times argument: both become now. */
export function touch(path: Path): void {
  must("utimensat NULL", [path], c.utimensat(AT_FDCWD, pathAddress(path), 0, 0));
}

export function futimens(fd: number, atime: bigint, mtime: bigint): void {
  must("futimens", [fd, atime, mtime], c.futimens(fd, times(atime, mtime)));
}

/** utimensat(2) with raw nanoseconds, to be refused. */
export function utimensRaw(path: Path, nanoseconds: bigint): void {
  const room = space(32);
  room.view.setBigInt64(8, nanoseconds, true);
  room.view.setBigInt64(24, nanoseconds, true);
  const result = c.utimensat(AT_FDCWD, pathAddress(path), room.address, 0);
  must("utimensat", [path, nanoseconds], result);
}

/** chattr(1) flags, FS_*_FL. */
export function getFlags(fd: number): number {
  const room = space(8);
  must("FS_IOC_GETFLAGS", [fd], c.ioctl(fd, FS_IOC_GETFLAGS, room.address));
  return room.view.getUint32(0, true);
}

export function setFlags(fd: number, flags: number): void {
  const room = space(8);
  room.view.setUint32(0, flags, true);
  must("FS_IOC_SETFLAGS", [fd, flags], c.ioctl(fd, FS_IOC_SETFLAGS, room.address));
}

/** The inode generation. */
export function getVersion(fd: number): number {
  const room = space(8);
  must("FS_IOC_GETVERSION", [fd], c.ioctl(fd, FS_IOC_GETVERSION, room.address));
  return room.view.getUint32(0, true);
}

/** `fsx_xflags` of struct fsxattr. */
export function getExtendedFlags(fd: number): number {
  const room = space(28);
  must("FS_IOC_FSGETXATTR", [fd], c.ioctl(fd, FS_IOC_FSGETXATTR, room.address));
  return room.view.getUint32(0, true);
}

/** ioctl(2) with a number as its argument, for those that are to be refused. */
export function ioctl(fd: number, request: number, argument: number): number {
  return must("ioctl", [fd, request, argument], c.ioctl(fd, request, argument));
}

/** Shares the blocks of `from` with `to`. */
export function clone(to: number, from: number): void {
  must("FICLONE", [to, from], c.ioctl(to, FICLONE, from));
}
