/**
 * The wire's own constants. x86-64 and arm64 differ in open flags, and both
 * differ from other systems in errno: only these numbers cross the wire, and
 * each side translates at its edge (client/native.ts, server/native.ts).
 *
 * Errno: the numbers of Linux's asm-generic/errno.h, which x86-64 and arm64
 * share. File modes: the traditional octal values of st_mode (POSIX sys/stat.h).
 */

/** File types, as bits of a mode. */
export const FileType = {
  MASK: 0o170000,
  SOCKET: 0o140000,
  SYMLINK: 0o120000,
  REGULAR: 0o100000,
  BLOCK: 0o060000,
  DIRECTORY: 0o040000,
  CHARACTER: 0o020000,
  FIFO: 0o010000,
} as const;

/** How a file is opened. */
export const OpenFlag = {
  READ: 0x1,
  WRITE: 0x2,
  APPEND: 0x4,
  TRUNCATE: 0x8,
  EXCLUSIVE: 0x10,
  DIRECT: 0x20,
  SYNC: 0x40,
  DSYNC: 0x80,
  NONBLOCK: 0x100,
  NOATIME: 0x200,
  /** The caller may not keep set-id bits of a file it truncates or writes. */
  KILL_SUIDGID: 0x400,
} as const;

export const OPEN_FLAGS_ALL = 0x7ff;

/** What the server says of a handle it opened. */
export const OpenResult = {
  /** The data the client has cached of this inode is still true. */
  KEEP_CACHE: 0x1,
  /** Sizes are not to be trusted (proc and the like): read to the end, cache nothing. */
  UNSIZED: 0x2,
  /** Time or size are no longer what the client was last told: its attributes are stale. */
  CHANGED: 0x4,
  /** It has no positions: READ and WRITE have flags in place of an offset (see StreamFlag). */
  STREAM: 0x8,
} as const;

/** What stands in place of an offset where a file has none. */
export const StreamFlag = { NONBLOCK: 1 } as const;

/** How far a client may trust what it has of an inode: by type of its file system. */
export const Policy = {
  /** Files on a disk or in memory: may be cached. */
  ORDINARY: 0,
  /** proc, sysfs, cgroup and their like: contents are made when read. */
  LIVE: 1,
  /** As ORDINARY, and the server tells of every change at once (see Event). */
  WATCHED: 2,
  /** The attributes could not be had: they say nothing. */
  UNKNOWN: 3,
} as const;

/**
 * Policy of a node when it was made, in its number: bits 50 and 51. Only what
 * must be known without asking is decided by it (caching a directory's entries).
 */
export const NODE_POLICY_SHIFT = 18;

/** Number of the client's session in the number of a node, bits 52 to 63, and of a handle, from bit 18. */
export const NODE_EPOCH_SHIFT = 20;
export const HANDLE_EPOCH_SHIFT = 18;
export const EPOCH_MAX = 0xfff;

/** The policy in the high half of a node's number; the root's number has none. */
export function nodePolicy(high: number): number {
  return (high >>> NODE_POLICY_SHIFT) & 0x3;
}

/** Which fields a SETATTR sets. */
export const SetAttr = {
  MODE: 0x1,
  UID: 0x2,
  GID: 0x4,
  SIZE: 0x8,
  ATIME: 0x10,
  ATIME_NOW: 0x20,
  MTIME: 0x40,
  MTIME_NOW: 0x80,
  KILL_SUIDGID: 0x100,
} as const;

/** Flags of WRITE. */
export const WriteFlag = { KILL_SUIDGID: 0x1 } as const;

/** Types of a byte-range lock and of a whole-file lock. */
export const Lock = { READ: 0, WRITE: 1, UNLOCK: 2 } as const;

/** Commands of IOCTL that are carried (values of linux/fs.h, random.h and asm-generic/ioctls.h). */
export const Ioctl = {
  FS_GETFLAGS: 0x8008_6601,
  FS_SETFLAGS: 0x4008_6602,
  FS_GETVERSION: 0x8008_7601,
  FS_FSGETXATTR: 0x801c_581f,
  FS_FSSETXATTR: 0x401c_5820,
  FS_GETFSLABEL: 0x8100_9431,
  FS_GETFSUUID: 0x8011_1500,
  BLOCK_GETSIZE64: 0x8008_1272,
  BLOCK_GETDISKSEQ: 0x8008_1280,
  RANDOM_GETENTCNT: 0x8004_5200,
  TTY_TCGETS2: 0x802c_542a,
  TTY_TCSETS2: 0x402c_542b,
  TTY_TCSETSW2: 0x402c_542c,
  TTY_TCSETSF2: 0x402c_542d,
  PTY_GETNUMBER: 0x8004_5430,
  PTY_SETLOCK: 0x4004_5431,
  PTY_GETPACKET: 0x8004_5438,
  PTY_GETLOCK: 0x8004_5439,
} as const;

/** Flags of RENAME (values of linux/fs.h). */
export const Rename = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4, ALL: 7 } as const;

/** Flags of SETXATTR: CREATE, REPLACE (values of linux/xattr.h) and the wire's own. */
export const SetXattr = { CREATE: 1, REPLACE: 2, KILL_SGID: 0x100 } as const;

/** Flags of MOUNT (values of linux/mount.h's MS_*). */
export const MountFlag = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  SYNCHRONOUS: 0x10,
  REMOUNT: 0x20,
  MANDLOCK: 0x40,
  DIRSYNC: 0x80,
  NOSYMFOLLOW: 0x100,
  NOATIME: 0x400,
  NODIRATIME: 0x800,
  BIND: 0x1000,
  MOVE: 0x2000,
  REC: 0x4000,
  SILENT: 0x8000,
  POSIXACL: 0x1_0000,
  UNBINDABLE: 0x2_0000,
  PRIVATE: 0x4_0000,
  SLAVE: 0x8_0000,
  SHARED: 0x10_0000,
  RELATIME: 0x20_0000,
  I_VERSION: 0x80_0000,
  STRICTATIME: 0x100_0000,
  LAZYTIME: 0x200_0000,
} as const;

/** Flags that change how a mount propagates, and nothing else. */
export const MOUNT_PROPAGATION =
  MountFlag.UNBINDABLE | MountFlag.PRIVATE | MountFlag.SLAVE | MountFlag.SHARED;

/** Flags of UMOUNT (values of the C library's sys/mount.h). */
export const UmountFlag = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8, ALL: 0xf } as const;

/** The system calls of the new mount API, in MOUNT_CALL. */
export const MountCall = {
  FSOPEN: 1,
  FSPICK: 2,
  FSCONFIG: 3,
  FSMOUNT: 4,
  OPEN_TREE: 5,
  MOVE_MOUNT: 6,
  SETATTR: 7,
  /** read(2) of a context: what the kernel has to say. */
  LOG: 8,
  CLOSE: 9,
  /** A new network namespace, mounted at the place. */
  NETNS: 10,
} as const;

/** Commands of FSCONFIG (values of linux/mount.h). */
export const FsConfig = {
  SET_FLAG: 0,
  SET_STRING: 1,
  SET_BINARY: 2,
  SET_PATH: 3,
  SET_PATH_EMPTY: 4,
  SET_FD: 5,
  CREATE: 6,
  RECONFIGURE: 7,
  CREATE_EXCL: 8,
} as const;

/** Flags of a MOUNT_CALL that the HOST's kernel is told (values of linux/mount.h, linux/fcntl.h). */
export const OpenTree = { CLONE: 0x1, NO_AUTOMOUNT: 0x800, RECURSIVE: 0x8000 } as const;
export const MoveMount = { SET_GROUP: 0x100, BENEATH: 0x200 } as const;

/** Attributes of a mount in FSMOUNT and SETATTR (values of linux/mount.h). */
export const MountAttr = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  /** The three that exclude each other; RELATIME is 0. */
  ATIME_MASK: 0x70,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x20_0000,
} as const;

/** What is done to a process of the HOST's, in PROCESS. */
export const ProcessCall = {
  SIGNAL: 1,
  SET_AFFINITY: 2,
  GET_AFFINITY: 3,
  /** When it was started: with its number, this says which process it is. */
  START: 4,
  /** Answered when it has ended. */
  WAIT: 5,
} as const;
/** Bytes of a process's start: clock ticks since the HOST was booted, a u64 (LE). */
export const PROCESS_START_BYTES = 8;

/** Why a connection is closed, in GOODBYE. */
export const Goodbye = {
  DONE: 0,
  PROTOCOL: 1,
  VERSION: 2,
  REFUSED: 3,
  BUSY: 4,
  SHUTDOWN: 5,
} as const;

/** The mount that the root of a session is in, and all of a session that does not split. */
export const ROOT_MOUNT = 0;

/**
 * What happened on the HOST to an entry of a watched directory or, without a name,
 * to a watched inode itself: the kinds of inotify(7), with one for both halves of a move.
 */
export const Happening = {
  CREATE: 0x1,
  DELETE: 0x2,
  MODIFY: 0x4,
  CLOSE_WRITE: 0x8,
  ATTRIB: 0x10,
  /** From `directory` to `toDirectory`, of which one may be 0: not watched. */
  MOVE: 0x20,
  DELETE_SELF: 0x40,
  MOVE_SELF: 0x80,
  /** Beside one of them: it happened to a directory. */
  DIRECTORY: 0x100,
} as const;
export const HAPPENINGS_ALL = 0x1ff;

/** The root of what a session attached to. */
export const ROOT_NODE = 1;

/** Numbers of attributes in a reply: see attributes.ts. */
export const ATTRIBUTE_FIELDS = 16;

/** In TWIN_CLOSE: the session's streams, as when the process that had them is gone; keys stay. */
export const NO_KEY = 0;
