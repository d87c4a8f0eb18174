/** Making a superblock and putting it somewhere, in steps (fsopen(2), fsconfig(2), fsmount(2), move_mount(2)). */
import { SYS } from "./arch.ts";
import { rawSyscall } from "./rawsyscall.ts";

// linux/mount.h
export const FSOPEN_CLOEXEC = 1;
export const FSCONFIG_SET_FLAG = 0;
export const FSCONFIG_SET_STRING = 1;
export const FSCONFIG_CMD_CREATE = 6;
export const FSMOUNT_CLOEXEC = 1;
export const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
export const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOSUID = 0x2;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOEXEC = 0x8;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_NODIRATIME = 0x80;
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000;

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
