/** Nodes of a mount by their numbers, without a name: by the kernel's own file handles of them. */
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { HANDLE, MAX_HANDLE_SZ, nameToHandleAt, openByHandleAt } from "../sys/handle.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH } from "../sys/open.ts";

/** fs/fuse/inode.c: FILEID_INO64_GEN. */
const FUSE_HANDLE_TYPE = 0x81;
const FUSE_HANDLE_BYTES = 12;

const handle = allocate(HANDLE.data + FUSE_HANDLE_BYTES);
handle.view.setUint32(HANDLE.bytes, FUSE_HANDLE_BYTES, true);
handle.view.setUint32(HANDLE.type, FUSE_HANDLE_TYPE, true);

/**
 * A descriptor of the node that the kernel has, or -errno; `root`: any that is open in the
 * superblock, but not by O_PATH. What the kernel has forgotten it looks up (LOOKUP of ".").
 */
export function openNode(root: number, high: number, low: number, flags: number): number {
  const at = HANDLE.data;
  handle.view.setUint32(at, high, true);
  handle.view.setUint32(at + 4, low, true);
  handle.view.setUint32(at + 8, 0, true);
  return openByHandleAt(root, handle.address, flags);
}

const found = allocate(HANDLE.data + MAX_HANDLE_SZ);

/**
 * The number that FUSE has of what `fd` has open, in halves; or -errno. Which file system it
 * is of says its device. Nobody is asked for it: the kernel makes handles itself.
 */
export function nodeOf(fd: number): readonly [high: number, low: number] | number {
  const { view, address } = found;
  view.setUint32(HANDLE.bytes, MAX_HANDLE_SZ, true);
  const result = nameToHandleAt(fd, cstring(""), address, AT_EMPTY_PATH);
  if (result < 0) return result;
  if (view.getInt32(HANDLE.type, true) !== FUSE_HANDLE_TYPE) return -E.EXDEV;
  return [view.getUint32(HANDLE.data, true), view.getUint32(HANDLE.data + 4, true)];
}
