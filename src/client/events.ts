/** What the server tells without being asked. */
import { ProtocolError } from "../wire/error.ts";
import { NAME_MAX } from "../wire/limits.ts";
import { Event } from "../wire/ops.ts";
import { putNotice } from "./channelnotice.ts";
import type { Client } from "./client.ts";
import { readFileSystem } from "./filesystems.ts";
import { nodeKey, pollKey } from "./nodekey.ts";
import { NoticeKind, type NoticeQueue } from "./noticequeue.ts";
import { wakePollers } from "./notices.ts";
import { Head } from "./record.ts";
import type { HostMounts } from "./submounts/hostmounts.ts";
import { serveHappened } from "./watches/happened.ts";

/** Serves the EVENT frame in the transport's reader. */
export function serveEvent(c: Client, notices: NoticeQueue, mounts: HostMounts): void {
  const { reader } = c.transport;
  reader.array();
  const event = reader.uint();
  if (event === Event.HAPPENED) serveHappened(c, notices);
  else if (event === Event.FILE_SYSTEM) c.fileSystemMet(readFileSystem(reader));
  else serveChange(c, notices, mounts, event);
  reader.finish();
  c.record.set(Head.EVENTS, c.record.get(Head.EVENTS) + 1);
}

/** Events about a node or a number of the kernel's, which comes next. */
function serveChange(c: Client, notices: NoticeQueue, mounts: HostMounts, event: number): void {
  const { reader } = c.transport;
  reader.uint64();
  const { high, low } = reader;
  if (event === Event.POLL_READY) {
    c.polled.delete(pollKey(high, low));
    wakePollers(c.fuse, high, low);
  } else if (event === Event.CHANGED) {
    const kind = reader.uint() !== 0 ? NoticeKind.DATA : NoticeKind.ATTRIBUTES;
    c.dropKnown(high, low);
    const channel = mounts.channelOf(reader.uint32());
    if (channel !== undefined) putNotice(c, notices, channel, kind, high, low);
  } else if (event === Event.RENAMED) {
    const name = reader.latin1(NAME_MAX);
    c.dropKnown(high, low);
    c.lookahead.dropName(nodeKey(high, low), name);
    const channel = mounts.channelOf(reader.uint32());
    const notice = { kind: NoticeKind.ENTRY, high, low, name };
    if (channel !== undefined && !c.watches?.takes(notice, channel)) {
      putNotice(c, notices, channel, NoticeKind.ENTRY, high, low, name);
    }
  } else if (event === Event.MOUNTS) {
    mounts.changed();
  } else {
    throw new ProtocolError(`event ${event} is unknown`);
  }
}
