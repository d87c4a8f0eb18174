/** mount(2) and umount2(2); copies of mounts (open_tree(2)) and their attributes (mount_setattr(2)). */
import { SYS } from "./arch.ts";
import { addr, i32, libc, orErrno, u64 } from "./libc.ts";
import { allocate, putWord64 } from "./memory.ts";
import { O_CLOEXEC } from "./open.ts";
import { rawSyscall } from "./rawsyscall.ts";

const c = libc({
  mount: { args: [addr, addr, addr, u64, addr], returns: i32 },
  umount2: { args: [addr, i32], returns: i32 },
});

// linux/mount.h
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_MOVE = 8192;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MS_LAZYTIME = 1 << 25;

// sys/mount.h of the C library; the kernel's own (linux/fs.h) are not exported
export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const MNT_EXPIRE = 4;
export const UMOUNT_NOFOLLOW = 8;

// linux/mount.h
export const OPEN_TREE_CLONE = 1;
export const OPEN_TREE_CLOEXEC = O_CLOEXEC;
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
export const MOUNT_ATTR_NOSYMFOLLOW = 0x20_0000;

/** struct mount_attr of linux/mount.h: four u64; propagation is MS_PRIVATE and its like. */
export const MOUNT_ATTR = { attr_set: 0, attr_clr: 8, propagation: 16, userns_fd: 24 } as const;
export const MOUNT_ATTR_STRUCT_SIZE = 32;

const attributes = allocate(MOUNT_ATTR_STRUCT_SIZE);

/** mount(2). All but `flags` are addresses of strings; 0 where the call ignores one. */
export function mount(
  source: number,
  target: number,
  type: number,
  flags: number,
  data: number,
): number {
  return orErrno(c.mount(source, target, type, flags, data));
}

/** umount2(2) with MNT_* flags. */
export function umount2(path: number, flags: number): number {
  return orErrno(c.umount2(path, flags));
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
