/**
 * A FUSE superblock made step by step, as root: unlike what libfuse mounts it is
 * nowhere at first, so that whoever puts it somewhere need not be who serves it.
 */
import { cstring } from "../sys/cstring.ts";
import { fsconfigCreate, fsconfigSet, fsmount, fsopen } from "../sys/fsmount.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_NONBLOCK, O_RDWR, openat } from "../sys/open.ts";

export interface SuperblockOptions {
  /** Shown in /proc/mounts. */
  source: string;
  /** Type bits of the root's mode. */
  rootMode: number;
  maxReadBytes: number;
  allowOther: boolean;
  /** MOUNT_ATTR_* bits of its mount. */
  attributes: number;
}

/** Descriptors of a superblock: what it is served by, and its mount, which lives until it is closed or moved. */
export interface Superblock {
  fuseFd: number;
  mountFd: number;
}

/** Makes one; -errno where the kernel will not. */
export function makeSuperblock(options: SuperblockOptions): Superblock | number {
  const fuseFd = openat(AT_FDCWD, cstring("/dev/fuse"), O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
  if (fuseFd < 0) return fuseFd;
  const mountFd = mountOf(fuseFd, options);
  if (mountFd >= 0) return { fuseFd, mountFd };
  close(fuseFd);
  return mountFd;
}

function mountOf(fuseFd: number, options: SuperblockOptions): number {
  const context = fsopen(cstring("fuse"));
  if (context < 0) return context;
  try {
    const result = configure(context, fuseFd, options);
    return result < 0 ? result : fsmount(context, options.attributes);
  } finally {
    close(context);
  }
}

/** Gives the context what fs/fuse/inode.c (fuse_fs_parameters) knows, and creates; 0 or -errno. */
function configure(context: number, fuseFd: number, options: SuperblockOptions): number {
  const settings: [key: string, value: string | undefined][] = [
    ["source", options.source],
    ["subtype", "qtfs"],
    ["fd", `${fuseFd}`],
    ["rootmode", options.rootMode.toString(8)],
    ["user_id", "0"],
    ["group_id", "0"],
    ["max_read", `${options.maxReadBytes}`],
    ["default_permissions", undefined],
  ];
  if (options.allowOther) settings.push(["allow_other", undefined]);
  for (const [key, value] of settings) {
    const result = fsconfigSet(context, cstring(key), value === undefined ? 0 : cstring(value));
    if (result < 0) return result;
  }
  return fsconfigCreate(context);
}
