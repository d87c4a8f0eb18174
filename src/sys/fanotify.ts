/** fanotify(7), as far as whole file systems are watched for changes of names and contents, and single files for opens. */
import { addr, i32, libc, orErrno, u32, u64 } from "./libc.ts";

const c = libc({
  fanotify_init: { args: [u32, u32], returns: i32 },
  fanotify_mark: { args: [i32, u32, u64, i32, addr], returns: i32 },
});

// linux/fanotify.h
export const FAN_MODIFY = 0x2;
export const FAN_ATTRIB = 0x4;
export const FAN_OPEN = 0x20;
export const FAN_MOVED_FROM = 0x40;
export const FAN_MOVED_TO = 0x80;
export const FAN_CREATE = 0x100;
export const FAN_DELETE = 0x200;
export const FAN_Q_OVERFLOW = 0x4000;
export const FAN_ONDIR = 0x40000000;

export const FAN_CLOEXEC = 0x1;
export const FAN_NONBLOCK = 0x2;
export const FAN_REPORT_TID = 0x100;
export const FAN_REPORT_FID = 0x200;
export const FAN_REPORT_DIR_FID = 0x400;
export const FAN_REPORT_NAME = 0x800;

export const FAN_MARK_ADD = 0x1;
export const FAN_MARK_REMOVE = 0x2;
export const FAN_MARK_FILESYSTEM = 0x100;

export const FAN_EVENT_INFO_TYPE_DFID_NAME = 2;
export const FAN_EVENT_INFO_TYPE_DFID = 3;

/** struct fanotify_event_metadata; `mask` is a u64 whose lower half is in use. */
export const FAN_METADATA = { event_len: 0, metadata_len: 6, mask: 8, fd: 16, pid: 20 } as const;
export const FAN_METADATA_STRUCT_SIZE = 24;

/** struct fanotify_event_info_fid: header (type u8, len u16), fsid of 8 bytes, file handle. */
export const FAN_INFO = { info_type: 0, len: 2, fsid: 4, handle: 12 } as const;

/**
 * fanotify_init(2) for events that name directory and entry and the thread that
 * caused them: the descriptor, or -errno (-EPERM without CAP_SYS_ADMIN).
 */
export function fanotifyInit(): number {
  const flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME;
  return orErrno(c.fanotify_init(flags, 0));
}

/**
 * fanotify_init(2) for events that name the process that caused them, and open nothing for
 * whoever reads them: the descriptor, or -errno (-EPERM without CAP_SYS_ADMIN).
 */
export function fanotifyInitOpens(): number {
  return orErrno(c.fanotify_init(FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID, 0));
}

/** fanotify_mark(2) of the inode at `path`, following links: 0 or -errno. `how`: FAN_MARK_*. */
export function fanotifyMark(
  fd: number,
  how: number,
  mask: number,
  dirfd: number,
  path: number,
): number {
  return orErrno(c.fanotify_mark(fd, how, mask, dirfd, path));
}

/**
 * Watches the whole file system that `path` relative to `dirfd` is in; 0 or
 * -errno: -EXDEV, -ENODEV or -EOPNOTSUPP where it has no identity to report.
 */
export function fanotifyMarkFileSystem(
  fd: number,
  mask: number,
  dirfd: number,
  path: number,
): number {
  return orErrno(c.fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, dirfd, path));
}
