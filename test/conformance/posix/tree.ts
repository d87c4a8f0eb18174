/** The name space: making, linking, renaming and removing entries; the working directory. */
import { addr, i32, i64, libc, u32, u64 } from "../../../src/sys/libc.ts";
import { type Path, pathAddress, space } from "./arena.ts";
import { AT_FDCWD, AT_REMOVEDIR } from "./constants.ts";
import { must, octal } from "./failure.ts";

const c = libc({
  mkdirat: { args: [i32, addr, u32], returns: i32 },
  mknodat: { args: [i32, addr, u32, u64], returns: i32 },
  unlinkat: { args: [i32, addr, i32], returns: i32 },
  symlinkat: { args: [addr, i32, addr], returns: i32 },
  linkat: { args: [i32, addr, i32, addr, i32], returns: i32 },
  renameat2: { args: [i32, addr, i32, addr, u32], returns: i32 },
  readlinkat: { args: [i32, addr, addr, u64], returns: i64 },
  chdir: { args: [addr], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
  getcwd: { args: [addr, u64], returns: addr },
  umask: { args: [u32], returns: u32 },
});

export function mkdir(path: Path, mode = 0o755, dirfd = AT_FDCWD): void {
  must("mkdir", [path, octal(mode)], c.mkdirat(dirfd, pathAddress(path), mode));
}

/** dev_t as glibc's makedev(3) packs it. */
export function makedev(major: number, minor: number): number {
  const high = (BigInt(major) & ~0xfffn) << 32n;
  const low = (BigInt(minor) & ~0xffn) << 12n;
  return Number(high | (BigInt(major & 0xfff) << 8n) | low | BigInt(minor & 0xff));
}

export function mknod(path: Path, mode: number, device = 0, dirfd = AT_FDCWD): void {
  must("mknod", [path, octal(mode), device], c.mknodat(dirfd, pathAddress(path), mode, device));
}

export function unlink(path: Path, dirfd = AT_FDCWD): void {
  must("unlink", [path], c.unlinkat(dirfd, pathAddress(path), 0));
}

export function rmdir(path: Path, dirfd = AT_FDCWD): void {
  must("rmdir", [path], c.unlinkat(dirfd, pathAddress(path), AT_REMOVEDIR));
}

export function symlink(target: Path, path: Path, dirfd = AT_FDCWD): void {
  must("symlink", [target, path], c.symlinkat(pathAddress(target), dirfd, pathAddress(path)));
}

export function linkat(from: number, old: Path, to: number, path: Path, flags = 0): void {
  const result = c.linkat(from, pathAddress(old), to, pathAddress(path), flags);
  must("linkat", [from, old, to, path, flags], result);
}

export function link(old: Path, path: Path): void {
  const result = c.linkat(AT_FDCWD, pathAddress(old), AT_FDCWD, pathAddress(path), 0);
  must("link", [old, path], result);
}

export function renameat(from: number, old: Path, to: number, path: Path, flags = 0): void {
  const result = c.renameat2(from, pathAddress(old), to, pathAddress(path), flags);
  must("renameat2", [from, old, to, path, flags], result);
}

export function rename(old: Path, path: Path, flags = 0): void {
  const result = c.renameat2(AT_FDCWD, pathAddress(old), AT_FDCWD, pathAddress(path), flags);
  must("rename", [old, path, flags], result);
}

/** The link's text, cut at `size` bytes as readlink(2) does. */
export function readlink(path: Path, size = 8192, dirfd = AT_FDCWD): Buffer {
  const room = space(Math.max(size, 1));
  const result = c.readlinkat(dirfd, pathAddress(path), room.address, size);
  return Buffer.from(room.bytes.subarray(0, must("readlink", [path, size], result)));
}

export function chdir(path: Path): void {
  must("chdir", [path], c.chdir(pathAddress(path)));
}

export function fchdir(fd: number): void {
  must("fchdir", [fd], c.fchdir(fd));
}

/** getcwd(3) answers NULL, not -1, when it fails. */
export function getcwd(size = 8192): string {
  const room = space(size);
  const found = Number(c.getcwd(room.address, size));
  must("getcwd", [size], found === 0 ? -1 : 0);
  return room.bytes.toString("utf8", 0, room.bytes.indexOf(0));
}

/** Sets the mask of this process and returns the one before. */
export function umask(mask: number): number {
  return c.umask(mask);
}
