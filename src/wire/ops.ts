/**
 * The operations: number, number of arguments in a request, and whether a
 * repetition must be answered from the slot's kept reply (it changes something)
 * or may simply run again. README.md has the table of arguments and results.
 */

export const Op = {
  ATTACH: 1,
  LOOKUP: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 7,
  MKDIR: 8,
  UNLINK: 9,
  RMDIR: 10,
  RENAME: 11,
  LINK: 12,
  OPEN: 13,
  CREATE: 14,
  TMPFILE: 15,
  READ: 16,
  WRITE: 17,
  FSYNC: 18,
  FALLOCATE: 19,
  COPY_RANGE: 20,
  SEEK: 21,
  STATFS: 22,
  SYNCFS: 23,
  SETXATTR: 24,
  GETXATTR: 25,
  LISTXATTR: 26,
  REMOVEXATTR: 27,
  READDIR: 28,
  FSYNCDIR: 29,
  GETLK: 30,
  SETLK: 31,
  FLOCK: 32,
  UNLOCK: 33,
  POLL: 34,
  IOCTL: 35,
  STATX: 36,
  PING: 37,
  FOLLOW: 39,
  MOUNT: 41,
  UMOUNT: 42,
  MOUNT_CALL: 43,
  MOUNTS: 44,
  MOUNT_ROOT: 45,
  MOUNT_END: 46,
  TWIN_OPEN: 47,
  TWIN_CLOSE: 48,
  SOCKET_BIND: 49,
  PASS_OPEN: 50,
  SOCKET_REBIND: 51,
  PLACE_STATFS: 52,
  PROCESS: 53,
  WATCH: 40,
  NAME_LOOK: 54,
  NAME_OPEN: 55,
  NAME_BIND: 56,
} as const;

export type OpName = keyof typeof Op;

/** One past the highest operation number: the size of tables indexed by operation. */
export const OP_COUNT = 57;

/** Messages that are never answered. */
export const Oneway = {
  /** `[op, count, (node, lookups) …]` */
  FORGET: 1,
  /** `[op, handle]` */
  RELEASE: 2,
  /** `[op, directory]` */
  RELEASEDIR: 3,
} as const;

/** Messages from the server without a request. */
export const Event = {
  /** `[event, wakeup]`: a polled file became ready. */
  POLL_READY: 1,
  /** `[event, node, dropData, mount]`: attributes, and data if 1, are no longer what the client has. */
  CHANGED: 2,
  /** `[event, parent, name, mount]`: the name is gone or means another inode. */
  RENAMED: 3,
  /** `[event, generation]`: what is mounted beneath the root is no longer what MOUNTS told. */
  MOUNTS: 4,
  /** `[event, kinds, directory, name, toDirectory, toName, node]`: something a watcher wants to hear of (Happening). */
  HAPPENED: 5,
  /** `[event, magic, name, policy, path]`: a file system that the client has met. */
  FILE_SYSTEM: 7,
} as const;

const NAMES: readonly string[] = (() => {
  const names = new Array<string>(OP_COUNT).fill("?");
  for (const [name, number] of Object.entries(Op)) names[number] = name.toLowerCase();
  return names;
})();

/** Name of an operation for people, in lower case. */
export function opName(op: number): string {
  return NAMES[op] ?? "?";
}

/** Arguments after `[slot, sequence, op]`, by operation. */
export const ARGUMENTS: Readonly<Record<number, number>> = {
  [Op.ATTACH]: 3,
  [Op.LOOKUP]: 2,
  [Op.GETATTR]: 2,
  [Op.SETATTR]: 11,
  [Op.READLINK]: 3,
  [Op.SYMLINK]: 6,
  [Op.MKNOD]: 8,
  [Op.MKDIR]: 7,
  [Op.UNLINK]: 2,
  [Op.RMDIR]: 2,
  [Op.RENAME]: 5,
  [Op.LINK]: 3,
  [Op.OPEN]: 5,
  [Op.CREATE]: 8,
  [Op.TMPFILE]: 7,
  [Op.READ]: 3,
  [Op.WRITE]: 4,
  [Op.FSYNC]: 2,
  [Op.FALLOCATE]: 5,
  [Op.COPY_RANGE]: 6,
  [Op.SEEK]: 3,
  [Op.STATFS]: 1,
  [Op.SYNCFS]: 1,
  [Op.SETXATTR]: 4,
  [Op.GETXATTR]: 3,
  [Op.LISTXATTR]: 2,
  [Op.REMOVEXATTR]: 2,
  [Op.READDIR]: 5,
  [Op.FSYNCDIR]: 2,
  [Op.GETLK]: 5,
  [Op.SETLK]: 8,
  [Op.FLOCK]: 3,
  [Op.UNLOCK]: 2,
  [Op.POLL]: 3,
  [Op.IOCTL]: 4,
  [Op.STATX]: 2,
  [Op.PING]: 0,
  [Op.FOLLOW]: 3,
  [Op.MOUNT]: 7,
  [Op.UMOUNT]: 3,
  [Op.MOUNT_CALL]: 8,
  [Op.MOUNTS]: 1,
  [Op.MOUNT_ROOT]: 1,
  [Op.MOUNT_END]: 1,
  [Op.TWIN_OPEN]: 1,
  [Op.TWIN_CLOSE]: 1,
  [Op.SOCKET_BIND]: 8,
  [Op.PASS_OPEN]: 2,
  [Op.SOCKET_REBIND]: 2,
  [Op.PLACE_STATFS]: 2,
  [Op.PROCESS]: 4,
  [Op.WATCH]: 2,
  [Op.NAME_LOOK]: 2,
  [Op.NAME_OPEN]: 1,
  [Op.NAME_BIND]: 2,
};

const CHANGING: ReadonlySet<number> = new Set([
  Op.ATTACH,
  Op.SETATTR,
  Op.SYMLINK,
  Op.MKNOD,
  Op.MKDIR,
  Op.UNLINK,
  Op.RMDIR,
  Op.RENAME,
  Op.LINK,
  Op.OPEN,
  Op.CREATE,
  Op.TMPFILE,
  Op.WRITE,
  Op.FALLOCATE,
  Op.COPY_RANGE,
  Op.SETXATTR,
  Op.REMOVEXATTR,
  Op.SETLK,
  Op.FLOCK,
  Op.UNLOCK,
  Op.IOCTL,
  Op.MOUNT,
  Op.UMOUNT,
  Op.MOUNT_CALL,
  Op.MOUNT_END,
  Op.SOCKET_BIND,
  Op.PROCESS,
  Op.NAME_BIND,
]);

/** Whether running `op` twice differs from running it once. */
export function changesSomething(op: number): boolean {
  return CHANGING.has(op);
}
