/** inotify(7): what happens to files and directories that are named one by one. */
import { addr, i32, libc, orErrno, u32 } from "./libc.ts";

const c = libc({
  inotify_init1: { args: [i32], returns: i32 },
  inotify_add_watch: { args: [i32, addr, u32], returns: i32 },
  inotify_rm_watch: { args: [i32, i32], returns: i32 },
});

// linux/inotify.h
export const IN_MODIFY = 0x2;
export const IN_ATTRIB = 0x4;
export const IN_CLOSE_WRITE = 0x8;
export const IN_CLOSE_NOWRITE = 0x10;
export const IN_OPEN = 0x20;
export const IN_MOVED_FROM = 0x40;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
export const IN_UNMOUNT = 0x2000;
export const IN_Q_OVERFLOW = 0x4000;
export const IN_IGNORED = 0x8000;
export const IN_ISDIR = 0x4000_0000;
export const IN_NONBLOCK = 0o4000;
export const IN_CLOEXEC = 0o2000000;

/** struct inotify_event: wd i32, mask, cookie, len (of the name, with NULs) u32, then the name. */
export const INOTIFY_EVENT = { wd: 0, mask: 4, cookie: 8, len: 12, name: 16 } as const;
export const INOTIFY_EVENT_STRUCT_SIZE = 16;

/** inotify_init1(2), non-blocking and closed on exec: the descriptor, or -errno (-EMFILE: max_user_instances). */
export function inotifyInit(): number {
  return orErrno(c.inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
}

/**
 * Watches the inode at `path` for `mask`, following a last symbolic link: the number of
 * the watch, the same one for the same inode; or -errno, -ENOSPC for max_user_watches.
 */
export function inotifyAddWatch(fd: number, path: number, mask: number): number {
  return orErrno(c.inotify_add_watch(fd, path, mask));
}

/** inotify_rm_watch(2): 0 or -errno. IN_IGNORED follows. */
export function inotifyRemoveWatch(fd: number, wd: number): number {
  return orErrno(c.inotify_rm_watch(fd, wd));
}
