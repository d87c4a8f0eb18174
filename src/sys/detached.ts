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
import { AT_EMPTY_PATH, AT_FDCWD, close } from "./open.ts";

/**
 * A second mount of what is mounted at `path`, without propagation: an O_PATH descriptor
 * of its root, or -errno. It keeps the file system, but not `path`, in use.
 */
export function cloneMount(path: number): number {
  const fd = openTree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
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
