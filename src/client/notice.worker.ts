/** The thread that tells the kernel what to forget; it may wait for the kernel's locks. */
import { FuseDevice } from "../fuse/device.ts";
import { PathBuffer } from "../sys/cstring.ts";
import { NoticeKind, NoticeQueue } from "./noticequeue.ts";
import { dropEntry, dropInode, dropNames } from "./notices.ts";

/** What main gives the thread. */
export interface NoticeThreadData {
  queue: SharedArrayBuffer;
  fuseFd: number;
}

declare const self: { onmessage: ((event: { data: NoticeThreadData }) => void) | null };

self.onmessage = ({ data }) => {
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
