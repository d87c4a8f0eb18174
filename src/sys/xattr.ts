/**
 * Extended attributes by path, following symbolic links.
 *
 * For an O_PATH descriptor the path is `/proc/self/fd/N`: the f…xattr calls
 * refuse such descriptors. Names are NUL-terminated, values are bytes.
 */
import { addr, i32, i64, libc, orErrno, u64 } from "./libc.ts";

const c = libc({
  setxattr: { args: [addr, addr, addr, u64, i32], returns: i32 },
  getxattr: { args: [addr, addr, addr, u64], returns: i64 },
  listxattr: { args: [addr, addr, u64], returns: i64 },
  removexattr: { args: [addr, addr], returns: i32 },
});

// linux/xattr.h
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

// linux/limits.h
export const XATTR_NAME_MAX = 255;
export const XATTR_SIZE_MAX = 65536;
export const XATTR_LIST_MAX = 65536;

/** setxattr(2). */
export function setxattr(
  path: number,
  name: number,
  value: number,
  size: number,
  flags: number,
): number {
  return orErrno(c.setxattr(path, name, value, size, flags));
}

/** getxattr(2): the value's bytes; with `size` 0, how many it has; ERANGE if it does not fit. */
export function getxattr(path: number, name: number, value: number, size: number): number {
  return orErrno(c.getxattr(path, name, value, size));
}

/** listxattr(2): bytes of NUL-terminated names; with `size` 0, how many are needed. */
export function listxattr(path: number, list: number, size: number): number {
  return orErrno(c.listxattr(path, list, size));
}

/** removexattr(2). */
export function removexattr(path: number, name: number): number {
  return orErrno(c.removexattr(path, name));
}
