/**
 * Magic links, which are procfs's alone (proc(5): /proc/<pid>/root, exe, fd/N, ns/net …):
 * what they lead to is an inode, their text is a name it had somewhere.
 */
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { close, O_CLOEXEC, O_PATH, openat, openat2, RESOLVE_NO_MAGICLINKS } from "../sys/open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../sys/stat.ts";

/** linux/magic.h: PROC_SUPER_MAGIC */
const PROC = 0x9fa0;
const buffer = allocate(STATFS_STRUCT_SIZE);

/** Whether `fd` is in a procfs. */
export function isProcfs(fd: number): boolean {
  if (fstatfs(fd, buffer.address) !== 0) return false;
  return buffer.view.getUint32(STATFS.type, true) === PROC;
}

/** Whether the symbolic link `name` (address) of the directory `dirfd` is a magic one. */
export function isMagic(dirfd: number, name: number): boolean {
  if (!isProcfs(dirfd)) return false;
  const fd = openat2(dirfd, name, O_PATH | O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS);
  if (fd >= 0) close(fd);
  return fd === -E.ELOOP;
}

/** An O_PATH descriptor of what the magic link leads to, owned by the caller; or -errno, -EINVAL if it is none. */
export function openMagic(dirfd: number, name: number): number {
  return isMagic(dirfd, name) ? openat(dirfd, name, O_PATH | O_CLOEXEC, 0) : -E.EINVAL;
}

/**
 * Whether a user may follow a magic link of that owner, or read its text: ptrace(2)'s rule
 * as far as it can be told from here, as procfs gives its links to the process's own ids.
 */
export function mayFollow(uid: number, gid: number, owner: number, group: number): boolean {
  return uid === 0 || (uid === owner && gid === group);
}
