/**
 * Making a superblock and putting it somewhere, in steps (fsopen(2), fsconfig(2), fsmount(2),
 * move_mount(2)); copies of mounts (open_tree(2)) and their attributes (mount_setattr(2)).
 */
import { SYS } from "./arch.ts";
import { allocate, putWord64 } from "./memory.ts";
import { O_CLOEXEC } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

// linux/mount.h
export const FSOPEN_CLOEXEC = 1;
export const FSPICK_CLOEXEC = 1;
export const FSPICK_SYMLINK_NOFOLLOW = 2;
export const FSPICK_EMPTY_PATH = 8;
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSMOUNT_CLOEXEC = 1;
export const MOVE_MOUNT_F_SYMLINKS = 0x1;
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const MOVE_MOUNT_T_SYMLINKS = 0x10;
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
/** The bits of which one of the next three is set, or none for the first. */
export const MOUNT_ATTR__ATIME = 0x70;
export const MOUNT_ATTR_RELATIME = 0x0;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
export const OPEN_TREE_CLONE = 1;
export const OPEN_TREE_CLOEXEC = O_CLOEXEC;

/** struct mount_attr of linux/mount.h: four u64; propagation is MS_PRIVATE and its like. */
export const MOUNT_ATTR = { attr_set: 0, attr_clr: 8, propagation: 16, userns_fd: 24 } as const;
export const MOUNT_ATTR_STRUCT_SIZE = 32;

const attributes = allocate(MOUNT_ATTR_STRUCT_SIZE);

/** fsopen(2) with the type at an address: a context's descriptor, closed on exec, or -errno. */
export function fsopen(type: number): number {
  return rawSyscall(SYS.fsopen, type, FSOPEN_CLOEXEC);
}

/** fsconfig(2) for a key and a value that are strings at addresses (value 0: a flag); 0 or -errno. */
export function fsconfigSet(context: number, key: number, value: number): number {
  const command = value === 0 ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
  return rawSyscall(SYS.fsconfig, context, command, key, value, 0);
}

/** fsconfig(2): makes the superblock; 0 or -errno. */
export function fsconfigCreate(context: number): number {
  return rawSyscall(SYS.fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
}

/** fsmount(2) with MOUNT_ATTR_* bits: a mount that is nowhere yet, as an O_PATH descriptor, or -errno. */
export function fsmount(context: number, attributes: number): number {
  return rawSyscall(SYS.fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

/** move_mount(2): puts the mount `fd` onto what `directory` is open on; `empty`: address of "". */
export function moveMount(fd: number, directory: number, empty: number): number {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return rawSyscall(SYS.move_mount, fd, empty, directory, empty, flags);
}

/**
 * open_tree(2) with OPEN_TREE_* and AT_* flags: an O_PATH descriptor or -errno. With
 * OPEN_TREE_CLONE it is of a copy of the mount that belongs to no name space and goes
 * with its last descriptor; -EPERM without CAP_SYS_ADMIN, -EINVAL for a mount that is
 * unbindable or of another name space.
 */
export function openTree(dirfd: number, path: number, flags: number): number {
  return rawSyscall(SYS.open_tree, dirfd, path, flags);
}

/**
 * mount_setattr(2) (Linux 5.12): sets and clears MOUNT_ATTR_* of the mount at `path`
 * and, unless it is 0, its propagation. Returns 0 or -errno, -EBUSY for read-only
 * while files are open for writing.
 */
export function mountSetattr(
  dirfd: number,
  path: number,
  flags: number,
  set: number,
  clear: number,
  propagation = 0,
): number {
  putWord64(attributes.words, MOUNT_ATTR.attr_set / 4, set);
  putWord64(attributes.words, MOUNT_ATTR.attr_clr / 4, clear);
  putWord64(attributes.words, MOUNT_ATTR.propagation / 4, propagation);
  const { address } = attributes;
  return rawSyscall(SYS.mount_setattr, dirfd, path, flags, address, MOUNT_ATTR_STRUCT_SIZE);
}
