/** What the client tells the kernel of its own accord; `fd`: of the superblock that it is about. */
import { kernelHigh } from "../fuse/channels.ts";
import type { FuseDevice } from "../fuse/device.ts";
import {
  EXPIRE_ONLY,
  INVAL_ENTRY_OUT,
  INVAL_ENTRY_OUT_SIZE,
  INVAL_INODE_OUT,
  INVAL_INODE_OUT_SIZE,
  Notify,
  POLL_WAKEUP_OUT_SIZE,
  PRUNE_OUT,
  PRUNE_OUT_SIZE,
  STORE_OUT,
  STORE_OUT_SIZE,
} from "../fuse/protocol.ts";

/**
 * Puts a whole small file into the page cache, so that no READ is needed.
 *
 * Only for a node that nobody has had open before: the kernel takes page locks
 * for this, which a READ that waits for this very thread would hold.
 */
export function storeData(
  fuse: FuseDevice,
  fd: number,
  nodeHigh: number,
  nodeLow: number,
  address: number,
  length: number,
): boolean {
  const view = fuse.notice;
  view.setUint32(STORE_OUT.nodeid, nodeLow, true);
  view.setUint32(STORE_OUT.nodeid + 4, nodeHigh, true);
  view.setBigUint64(STORE_OUT.offset, 0n, true);
  view.setUint32(STORE_OUT.size, length, true);
  view.setUint32(STORE_OUT.size + 4, 0, true);
  return fuse.notify(Notify.STORE, STORE_OUT_SIZE, address, length, fd) > 0;
}

/** Wakes those who poll the file with the number `high:low`, which says its superblock too. */
export function wakePollers(fuse: FuseDevice, high: number, low: number): void {
  fuse.notice.setUint32(0, low, true);
  fuse.notice.setUint32(4, kernelHigh(high), true);
  fuse.notify(Notify.POLL, POLL_WAKEUP_OUT_SIZE, 0, 0, fuse.fdFor(high));
}

/**
 * Drops the attributes of a node; and its pages too if `data`. With `data` it
 * may wait for READs of that node: never to be called by the thread that
 * answers them.
 */
export function dropInode(
  fuse: FuseDevice,
  fd: number,
  nodeHigh: number,
  nodeLow: number,
  data: boolean,
): void {
  const view = fuse.notice;
  view.setUint32(INVAL_INODE_OUT.ino, nodeLow, true);
  view.setUint32(INVAL_INODE_OUT.ino + 4, nodeHigh, true);
  // A negative offset means attributes alone (fuse_reverse_inval_inode).
  view.setBigInt64(INVAL_INODE_OUT.off, data ? 0n : -1n, true);
  view.setBigInt64(INVAL_INODE_OUT.len, 0n, true);
  fuse.notify(Notify.INVAL_INODE, INVAL_INODE_OUT_SIZE, 0, 0, fd);
}

/**
 * Has the kernel ask for a name again; it takes the directory's lock, so see
 * `dropInode`. Unless it is to be gone the name is not dropped: a directory in use would lose its path
 * (getcwd(2)) and the mounts below it, though it may be as it was (d_invalidate).
 * Kernels before 6.2 know no other way.
 */
export function dropEntry(
  fuse: FuseDevice,
  fd: number,
  parentHigh: number,
  parentLow: number,
  nameAddress: number,
  nameLength: number,
  isGone = false,
): void {
  const view = fuse.notice;
  view.setUint32(INVAL_ENTRY_OUT.parent, parentLow, true);
  view.setUint32(INVAL_ENTRY_OUT.parent + 4, parentHigh, true);
  view.setUint32(INVAL_ENTRY_OUT.namelen, nameLength, true);
  view.setUint32(INVAL_ENTRY_OUT.flags, isGone ? 0 : EXPIRE_ONLY, true);
  // The name goes with its terminator.
  fuse.notify(Notify.INVAL_ENTRY, INVAL_ENTRY_OUT_SIZE, nameAddress, nameLength + 1, fd);
}

/** Has the kernel forget a node unless somebody uses it; it takes no lock that a request may hold. */
export function pruneNode(fuse: FuseDevice, fd: number, nodeHigh: number, nodeLow: number): void {
  const view = fuse.notice;
  view.setBigUint64(0, 0n, true);
  view.setBigUint64(8, 0n, true);
  view.setUint32(PRUNE_OUT.count, 1, true);
  view.setUint32(PRUNE_OUT_SIZE, nodeLow, true);
  view.setUint32(PRUNE_OUT_SIZE + 4, nodeHigh, true);
  fuse.notify(Notify.PRUNE, PRUNE_OUT_SIZE + 8, 0, 0, fd);
}

/**
 * Drops all names, and what is known of names that do not exist (kernels before 6.16
 * refuse that): for a session that has begun anew, where nothing is as it was.
 */
export function dropNames(fuse: FuseDevice, fd: number): void {
  fuse.notify(Notify.INC_EPOCH, 0, 0, 0, fd);
}
