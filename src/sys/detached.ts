/** Mounts that are at no place: copies of others, and new ones. */
import { cstring } from "./cstring.ts";
import {
  fsconfigCreate,
  fsmount,
  fsopen,
  mountSetattr,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openTree,
} from "./fsmount.ts";
import { MS_PRIVATE } from "./mount.ts";
import { AT_EMPTY_PATH, close } from "./open.ts";

/**
 * A second mount of what is at `path` (AT_* flags as for open_tree(2)), beginning there,
 * without what is mounted in it, and without propagation: what is mounted later would show
 * in it. An O_PATH descriptor of its root, or -errno. It keeps the file system, but not the
 * mount itself, in use.
 */
export function cloneMount(dirfd: number, path: number, flags = 0): number {
  const fd = openTree(dirfd, path, flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  if (fd < 0) return fd;
  const result = mountSetattr(fd, cstring(""), AT_EMPTY_PATH, 0, 0, MS_PRIVATE);
  if (result === 0) return fd;
  close(fd);
  return result;
}

/** A new mount of file system `type`: an O_PATH descriptor of its root, or -errno. */
export function mountNowhere(type: string): number {
  const context = fsopen(cstring(type));
  if (context < 0) return context;
  const made = fsconfigCreate(context);
  const fd = made < 0 ? made : fsmount(context, 0);
  close(context);
  return fd;
}
