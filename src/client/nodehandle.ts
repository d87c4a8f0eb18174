/** Opening a node of a mount by its number, without a name: by the kernel's own file handle of it. */
import { HANDLE, openByHandleAt } from "../sys/handle.ts";
import { allocate } from "../sys/memory.ts";

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
