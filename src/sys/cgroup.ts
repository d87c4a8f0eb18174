/** Cgroups: directories of cgroup file systems, of version 1 or 2 (cgroups(7)). */
import { basename, dirname } from "node:path";
import { PathBuffer } from "./cstring.ts";
import { E } from "./errno.ts";
import { allocate } from "./memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, O_WRONLY, openat } from "./open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "./stat.ts";
import { mkdirat } from "./tree.ts";

// linux/magic.h
export const CGROUP_SUPER_MAGIC = 0x27e0eb;
export const CGROUP2_SUPER_MAGIC = 0x63677270;

const MODE = 0o755;
const paths = new PathBuffer(1);
const facts = allocate(STATFS_STRUCT_SIZE);

/** An O_PATH descriptor of a cgroup's directory; -ENODEV: it is none; or -errno. */
function openGroup(path: string): number {
  const fd = openat(AT_FDCWD, paths.put(0, path), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const result = fstatfs(fd, facts.address);
  const type = facts.view.getUint32(STATFS.type, true);
  if (result === 0 && (type === CGROUP_SUPER_MAGIC || type === CGROUP2_SUPER_MAGIC)) return fd;
  close(fd);
  return result < 0 ? result : -E.ENODEV;
}

/** Whether `path` is a cgroup's directory, or can be made one: 0, -ENODEV: it is in no such file system; or -errno. */
export function checkCgroup(path: string): number {
  const fd = openGroup(path);
  if (fd === -E.ENOENT) return checkCgroup(dirname(path));
  if (fd >= 0) close(fd);
  return Math.min(fd, 0);
}

/**
 * `cgroup.procs` of the cgroup at `path`, which is made where it is missing: a descriptor for
 * writing, closed on exec. A process that writes "0" to it enters the cgroup, with the rights of
 * who has opened it. -ENODEV: it is no cgroup; or -errno.
 */
export function openCgroup(path: string): number {
  const fd = openOrMake(path);
  if (fd < 0) return fd;
  const procs = openat(fd, paths.put(0, "cgroup.procs"), O_WRONLY | O_CLOEXEC, 0);
  close(fd);
  return procs;
}

function openOrMake(path: string): number {
  const fd = openGroup(path);
  if (fd !== -E.ENOENT) return fd;
  const parent = openOrMake(dirname(path));
  if (parent < 0) return parent;
  const result = mkdirat(parent, paths.put(0, basename(path)), MODE);
  close(parent);
  return result < 0 && result !== -E.EEXIST ? result : openGroup(path);
}
