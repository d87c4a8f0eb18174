/**
 * The thread that tells the kernel what to forget; it may wait for the kernel's
 * locks, with no way to be killed, while who holds them waits for the mount. So it
 * has a table of descriptors of its own: should the process be killed, all that the
 * other threads had open is closed though this one cannot end yet, the keeper
 * notices, and the next process answers who holds the lock.
 */
import { FuseDevice } from "../fuse/device.ts";
import { PathBuffer } from "../sys/cstring.ts";
import { keepOnlyFd } from "../sys/process.ts";
import { withChannel } from "./borrow.ts";
import { FIRST, type Notice, NoticeKind, NoticeQueue } from "./noticequeue.ts";
import { dropEntry, dropInode, dropNames, pruneNode } from "./notices.ts";

/** What main gives the thread. */
export interface NoticeThreadData {
  queue: SharedArrayBuffer;
  fuseFd: number;
}

declare const self: { onmessage: ((event: { data: NoticeThreadData }) => void) | null };

self.onmessage = ({ data }) => {
  keepOnlyFd(data.fuseFd);
  const queue = new NoticeQueue(data.queue);
  const fuse = new FuseDevice(data.fuseFd);
  for (let notice = queue.take(); notice !== undefined; notice = queue.take()) {
    const taken = notice;
    if (taken.fd === undefined || taken.fd === FIRST) tell(fuse, data.fuseFd, taken);
    else withChannel(taken.fd, (fd) => tell(fuse, fd, taken));
  }
};

const names = new PathBuffer(1);

/** Tells it to the superblock whose channel is `fd`. */
function tell(fuse: FuseDevice, fd: number, { kind, high, low, name }: Notice): number {
  if (kind === NoticeKind.ENTRY || kind === NoticeKind.GONE) {
    const isGone = kind === NoticeKind.GONE;
    dropEntry(fuse, fd, high, low, names.putLatin1(0, name), name.length, isGone);
  } else if (kind === NoticeKind.UNUSED) {
    pruneNode(fuse, fd, high, low);
  } else if (kind === NoticeKind.NAMES) {
    dropNames(fuse, fd);
  } else {
    dropInode(fuse, fd, high, low, kind === NoticeKind.DATA);
  }
  return 0;
}
