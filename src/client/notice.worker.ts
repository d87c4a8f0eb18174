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
import { NoticeKind, NoticeQueue } from "./noticequeue.ts";
import { dropEntry, dropInode, dropNames } from "./notices.ts";

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
  const names = new PathBuffer(1);
  for (let notice = queue.take(); notice !== undefined; notice = queue.take()) {
    const { kind, high, low, name } = notice;
    if (kind === NoticeKind.ENTRY) {
      dropEntry(fuse, high, low, names.putLatin1(0, name), name.length);
    } else if (kind === NoticeKind.NAMES) {
      dropNames(fuse);
    } else {
      dropInode(fuse, high, low, kind === NoticeKind.DATA);
    }
  }
};
