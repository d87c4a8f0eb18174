/** Notices for the superblock that they are about, as that one's kernel calls its nodes. */
import { ROOT } from "../fuse/channels.ts";
import type { Client } from "./client.ts";
import type { NoticeQueue } from "./noticequeue.ts";

/** Tells the kernel `kind` of a node that the server calls `high:low`, and of an entry of it. */
export function putNotice(
  c: Client,
  notices: NoticeQueue,
  channel: number,
  kind: number,
  high: number,
  low: number,
  name = "",
): void {
  if (channel === 0) {
    notices.put({ kind, high, low, name });
    return;
  }
  const { channels } = c.fuse;
  const fd = channels.fdOf(channel);
  if (fd < 0) return;
  if (channels.isRoot(channel, high, low)) notices.put({ kind, fd, high: 0, low: ROOT, name });
  else notices.put({ kind, fd, high, low, name });
}
