/**
 * The kernel's FUSE protocol, version 7.45: numbers and offsets as they stand
 * in linux/fuse.h (test/fuse/protocol.test.ts asks a C compiler). All structs
 * are native-endian, which on x86-64 and arm64 is little.
 */

export const KERNEL_VERSION = 7;
export const KERNEL_MINOR_VERSION = 45;
/** Oldest minor version served: Linux 5.15. */
export const KERNEL_MINOR_OLDEST = 34;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

/** One past the highest opcode: the size of tables indexed by opcode. */
export const OPCODE_COUNT = 64;

/** Flags of INIT, by bit number: below 32 in `flags`, from 32 in `flags2`. */
export const InitBit = {
  ASYNC_READ: 0,
  POSIX_LOCKS: 1,
  ATOMIC_O_TRUNC: 3,
  EXPORT_SUPPORT: 4,
  BIG_WRITES: 5,
  DONT_MASK: 6,
  FLOCK_LOCKS: 10,
  HAS_IOCTL_DIR: 11,
  DO_READDIRPLUS: 13,
  READDIRPLUS_AUTO: 14,
  ASYNC_DIO: 15,
  PARALLEL_DIROPS: 18,
  POSIX_ACL: 20,
  MAX_PAGES: 22,
  CACHE_SYMLINKS: 23,
  HANDLE_KILLPRIV_V2: 28,
  SETXATTR_EXT: 29,
  INIT_EXT: 30,
  CREATE_SUPP_GROUP: 34,
  DIRECT_IO_ALLOW_MMAP: 36,
  HAS_RESEND: 39,
  ALLOW_IDMAP: 40,
} as const;

/** struct fuse_in_header */
export const IN_HEADER = {
  len: 0,
  opcode: 4,
  unique: 8,
  nodeid: 16,
  uid: 24,
  gid: 28,
  pid: 32,
  totalExtlen: 36,
} as const;
export const IN_HEADER_SIZE = 40;

/** struct fuse_out_header */
export const OUT_HEADER = { len: 0, error: 4, unique: 8 } as const;
export const OUT_HEADER_SIZE = 16;

/** struct fuse_attr */
export const ATTR = {
  ino: 0,
  size: 8,
  blocks: 16,
  atime: 24,
  mtime: 32,
  ctime: 40,
  atimensec: 48,
  mtimensec: 52,
  ctimensec: 56,
  mode: 60,
  nlink: 64,
  uid: 68,
  gid: 72,
  rdev: 76,
  blksize: 80,
  flags: 84,
} as const;
export const ATTR_SIZE = 88;

/** struct fuse_entry_out */
export const ENTRY_OUT = {
  nodeid: 0,
  generation: 8,
  entry_valid: 16,
  attr_valid: 24,
  entry_valid_nsec: 32,
  attr_valid_nsec: 36,
  attr: 40,
} as const;
export const ENTRY_OUT_SIZE = 128;

/** struct fuse_attr_out */
export const ATTR_OUT = { attr_valid: 0, attr_valid_nsec: 8, attr: 16 } as const;
export const ATTR_OUT_SIZE = 104;

/** struct fuse_getattr_in; the flag says that `fh` is set. */
export const GETATTR_IN = { getattr_flags: 0, fh: 8 } as const;
export const GETATTR_FH = 1;

/** struct fuse_mknod_in */
export const MKNOD_IN = { mode: 0, rdev: 4, umask: 8 } as const;
export const MKNOD_IN_SIZE = 16;
/** struct fuse_mkdir_in */
export const MKDIR_IN = { mode: 0, umask: 4 } as const;
export const MKDIR_IN_SIZE = 8;
/** struct fuse_rename_in, struct fuse_rename2_in */
export const RENAME_IN_SIZE = 8;
export const RENAME2_IN = { newdir: 0, flags: 8 } as const;
export const RENAME2_IN_SIZE = 16;
/** struct fuse_link_in */
export const LINK_IN = { oldnodeid: 0 } as const;
export const LINK_IN_SIZE = 8;

/** struct fuse_setattr_in */
export const SETATTR_IN = {
  valid: 0,
  fh: 8,
  size: 16,
  lock_owner: 24,
  atime: 32,
  mtime: 40,
  atimensec: 56,
  mtimensec: 60,
  mode: 68,
  uid: 76,
  gid: 80,
} as const;
export const Fattr = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  KILL_SUIDGID: 1 << 11,
} as const;

/** struct fuse_open_in; OPEN_KILL_SUIDGID is one of its open_flags. */
export const OPEN_IN = { flags: 0, open_flags: 4 } as const;
export const OPEN_KILL_SUIDGID = 1;
/** struct fuse_create_in */
export const CREATE_IN = { flags: 0, mode: 4, umask: 8, open_flags: 12 } as const;
export const CREATE_IN_SIZE = 16;
/** struct fuse_open_out */
export const OPEN_OUT = { fh: 0, open_flags: 8 } as const;
export const OPEN_OUT_SIZE = 16;
export const Fopen = {
  DIRECT_IO: 1,
  KEEP_CACHE: 2,
  CACHE_DIR: 8,
  STREAM: 16,
  NOFLUSH: 32,
} as const;

/** struct fuse_release_in, struct fuse_flush_in */
export const RELEASE_IN = { fh: 0, flags: 8, release_flags: 12, lock_owner: 16 } as const;
export const RELEASE_FLOCK_UNLOCK = 1 << 1;
export const FLUSH_IN = { fh: 0, lock_owner: 16 } as const;
/** struct fuse_read_in */
export const READ_IN = { fh: 0, offset: 8, size: 16, flags: 32 } as const;
/** struct fuse_write_in */
export const WRITE_IN = { fh: 0, offset: 8, size: 16, write_flags: 20, flags: 32 } as const;
export const WRITE_IN_SIZE = 40;
export const WRITE_KILL_SUIDGID = 1 << 2;
/** struct fuse_write_out */
export const WRITE_OUT_SIZE = 8;

/** struct fuse_kstatfs in struct fuse_statfs_out */
export const STATFS_OUT = {
  blocks: 0,
  bfree: 8,
  bavail: 16,
  files: 24,
  ffree: 32,
  bsize: 40,
  namelen: 44,
  frsize: 48,
} as const;
export const STATFS_OUT_SIZE = 80;

/** struct fuse_fsync_in */
export const FSYNC_IN = { fh: 0, fsync_flags: 8 } as const;
export const FSYNC_FDATASYNC = 1;

/** struct fuse_setxattr_in (with FUSE_SETXATTR_EXT), struct fuse_getxattr_in */
export const SETXATTR_IN = { size: 0, flags: 4, setxattr_flags: 8 } as const;
export const SETXATTR_IN_SIZE = 16;
export const SETXATTR_ACL_KILL_SGID = 1;
export const GETXATTR_IN = { size: 0 } as const;
export const GETXATTR_IN_SIZE = 8;
export const GETXATTR_OUT_SIZE = 8;

/** struct fuse_lk_in, struct fuse_lk_out with struct fuse_file_lock in them */
export const LK_IN = {
  fh: 0,
  owner: 8,
  start: 16,
  end: 24,
  type: 32,
  pid: 36,
  lk_flags: 40,
} as const;
export const LK_FLOCK = 1;
export const LK_OUT = { start: 0, end: 8, type: 16, pid: 20 } as const;
export const LK_OUT_SIZE = 24;

/** struct fuse_init_in, struct fuse_init_out */
export const INIT_IN = { major: 0, minor: 4, max_readahead: 8, flags: 12, flags2: 16 } as const;
export const INIT_OUT = {
  major: 0,
  minor: 4,
  max_readahead: 8,
  flags: 12,
  max_background: 16,
  congestion_threshold: 18,
  max_write: 20,
  time_gran: 24,
  max_pages: 28,
  flags2: 32,
} as const;
export const INIT_OUT_SIZE = 64;

/** struct fuse_interrupt_in */
export const INTERRUPT_IN = { unique: 0 } as const;

/** struct fuse_ioctl_in, struct fuse_ioctl_out */
export const IOCTL_IN = { fh: 0, flags: 8, cmd: 12, arg: 16, in_size: 24, out_size: 28 } as const;
export const IOCTL_IN_SIZE = 32;
export const IOCTL_DIR = 1 << 4;
export const IOCTL_OUT = { result: 0 } as const;
export const IOCTL_OUT_SIZE = 16;

/** struct fuse_poll_in, struct fuse_poll_out */
export const POLL_IN = { fh: 0, kh: 8, flags: 16, events: 20 } as const;
export const POLL_SCHEDULE_NOTIFY = 1;
export const POLL_OUT_SIZE = 8;

/** struct fuse_fallocate_in */
export const FALLOCATE_IN = { fh: 0, offset: 8, length: 16, mode: 24 } as const;

/** struct fuse_dirent; struct fuse_direntplus is an entry_out before one. */
export const DIRENT = { ino: 0, off: 8, namelen: 16, type: 20, name: 24 } as const;
export const DIRENT_NAME_OFFSET = 24;

/** struct fuse_lseek_in */
export const LSEEK_IN = { fh: 0, offset: 8, whence: 16 } as const;
export const LSEEK_OUT_SIZE = 8;

/** struct fuse_copy_file_range_in */
export const COPY_FILE_RANGE_IN = {
  fh_in: 0,
  off_in: 8,
  nodeid_out: 16,
  fh_out: 24,
  off_out: 32,
  len: 40,
  flags: 48,
} as const;

/** struct fuse_statx_in, struct fuse_statx in struct fuse_statx_out (at `stat`) */
export const STATX_IN = { getattr_flags: 0, fh: 8 } as const;
export const STATX_OUT = { attr_valid: 0, attr_valid_nsec: 8, stat: 32 } as const;
export const STATX_OUT_SIZE = 288;

/** struct fuse_ext_header, struct fuse_supp_groups */
export const EXT_HEADER = { size: 0, type: 4 } as const;
export const EXT_HEADER_SIZE = 8;
export const EXT_GROUPS = 32;
export const SUPP_GROUPS = { nr_groups: 0, groups: 4 } as const;

/** struct fuse_batch_forget_in, struct fuse_forget_one */
export const BATCH_FORGET_IN = { count: 0 } as const;
export const BATCH_FORGET_IN_SIZE = 8;
export const FORGET_ONE = { nodeid: 0, nlookup: 8 } as const;
export const FORGET_ONE_SIZE = 16;

/** enum fuse_notify_code: the negative of an `error` with `unique` 0 */
export const Notify = {
  POLL: 1,
  INVAL_INODE: 2,
  INVAL_ENTRY: 3,
  STORE: 4,
  /** Since 7.40: requests that were read and not answered come again. */
  RESEND: 7,
  /** Since 7.44: no name is believed any more, neither that one does not exist. */
  INC_EPOCH: 8,
  /** Since 7.45: what nobody uses of some nodes is forgotten. */
  PRUNE: 9,
} as const;
/** struct fuse_notify_inval_inode_out, fuse_notify_inval_entry_out, fuse_notify_store_out */
export const INVAL_INODE_OUT = { ino: 0, off: 8, len: 16 } as const;
export const INVAL_INODE_OUT_SIZE = 24;
export const INVAL_ENTRY_OUT = { parent: 0, namelen: 8, flags: 12 } as const;
export const INVAL_ENTRY_OUT_SIZE = 16;
/** Flag of an entry's invalidation: it is asked for again, and meanwhile stays what it is. */
export const EXPIRE_ONLY = 1;
export const STORE_OUT = { nodeid: 0, offset: 8, size: 16 } as const;
export const STORE_OUT_SIZE = 24;
/** struct fuse_notify_prune_out; the nodes' numbers follow, 64 bits each. */
export const PRUNE_OUT = { count: 0 } as const;
export const PRUNE_OUT_SIZE = 16;
/** Minor version from which the kernel knows PRUNE. */
export const PRUNE_MINOR = 45;
/** struct fuse_notify_poll_wakeup_out */
export const POLL_WAKEUP_OUT_SIZE = 8;
