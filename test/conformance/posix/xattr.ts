/** Extended attributes by path, by link and by descriptor. */
import { addr, i32, i64, libc, u64 } from "../../../src/sys/libc.ts";
import { bytesOf, copyOf, type Path, pathAddress, space } from "./arena.ts";
import { must } from "./failure.ts";

const SET = [addr, addr, addr, u64, i32] as const;
const GET = [addr, addr, addr, u64] as const;
const c = libc({
  setxattr: { args: SET, returns: i32 },
  lsetxattr: { args: SET, returns: i32 },
  fsetxattr: { args: [i32, addr, addr, u64, i32], returns: i32 },
  getxattr: { args: GET, returns: i64 },
  lgetxattr: { args: GET, returns: i64 },
  fgetxattr: { args: [i32, addr, addr, u64], returns: i64 },
  listxattr: { args: [addr, addr, u64], returns: i64 },
  llistxattr: { args: [addr, addr, u64], returns: i64 },
  flistxattr: { args: [i32, addr, u64], returns: i64 },
  removexattr: { args: [addr, addr], returns: i32 },
  lremovexattr: { args: [addr, addr], returns: i32 },
  fremovexattr: { args: [i32, addr], returns: i32 },
});

const ROOM = 65536;

export function setxattr(path: Path, name: Path, value: Path, flags = 0): void {
  const bytes = bytesOf(value);
  const result = c.setxattr(
    pathAddress(path),
    pathAddress(name),
    copyOf(bytes),
    bytes.length,
    flags,
  );
  must("setxattr", [path, name, value, flags], result);
}

export function lsetxattr(path: Path, name: Path, value: Path, flags = 0): void {
  const bytes = bytesOf(value);
  const result = c.lsetxattr(
    pathAddress(path),
    pathAddress(name),
    copyOf(bytes),
    bytes.length,
    flags,
  );
  must("lsetxattr", [path, name, value, flags], result);
}

export function fsetxattr(fd: number, name: Path, value: Path, flags = 0): void {
  const bytes = bytesOf(value);
  const result = c.fsetxattr(fd, pathAddress(name), copyOf(bytes), bytes.length, flags);
  must("fsetxattr", [fd, name, value, flags], result);
}

export function getxattr(path: Path, name: Path, size = ROOM): Buffer {
  const room = space(Math.max(size, 1));
  const result = c.getxattr(pathAddress(path), pathAddress(name), room.address, size);
  return Buffer.from(room.bytes.subarray(0, must("getxattr", [path, name, size], result)));
}

export function lgetxattr(path: Path, name: Path, size = ROOM): Buffer {
  const room = space(Math.max(size, 1));
  const result = c.lgetxattr(pathAddress(path), pathAddress(name), room.address, size);
  return Buffer.from(room.bytes.subarray(0, must("lgetxattr", [path, name, size], result)));
}

export function fgetxattr(fd: number, name: Path, size = ROOM): Buffer {
  const room = space(Math.max(size, 1));
  const result = c.fgetxattr(fd, pathAddress(name), room.address, size);
  return Buffer.from(room.bytes.subarray(0, must("fgetxattr", [fd, name, size], result)));
}

/** getxattr(2) with size 0: how long the value is. */
export function xattrSize(path: Path, name: Path): number {
  return must("getxattr", [path, name, 0], c.getxattr(pathAddress(path), pathAddress(name), 0, 0));
}

/** listxattr(2) with size 0: how long the list is. */
export function xattrListSize(path: Path): number {
  return must("listxattr", [path, 0], c.listxattr(pathAddress(path), 0, 0));
}

function split(list: Buffer): string[] {
  return list
    .toString()
    .split("\0")
    .filter((name) => name !== "")
    .sort();
}

export function listxattr(path: Path, size = ROOM): string[] {
  const room = space(size);
  const result = c.listxattr(pathAddress(path), room.address, size);
  return split(room.bytes.subarray(0, must("listxattr", [path, size], result)));
}

export function llistxattr(path: Path, size = ROOM): string[] {
  const room = space(size);
  const result = c.llistxattr(pathAddress(path), room.address, size);
  return split(room.bytes.subarray(0, must("llistxattr", [path, size], result)));
}

export function flistxattr(fd: number, size = ROOM): string[] {
  const room = space(size);
  const result = c.flistxattr(fd, room.address, size);
  return split(room.bytes.subarray(0, must("flistxattr", [fd, size], result)));
}

export function removexattr(path: Path, name: Path): void {
  must("removexattr", [path, name], c.removexattr(pathAddress(path), pathAddress(name)));
}

export function lremovexattr(path: Path, name: Path): void {
  must("lremovexattr", [path, name], c.lremovexattr(pathAddress(path), pathAddress(name)));
}

export function fremovexattr(fd: number, name: Path): void {
  must("fremovexattr", [fd, name], c.fremovexattr(fd, pathAddress(name)));
}
