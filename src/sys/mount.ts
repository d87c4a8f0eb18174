/** mount(2) and umount2(2). */
import { addr, i32, libc, orErrno, u64 } from "./libc.ts";

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
