/** What the server tells of happenings on the HOST, and what the kernel has to forget before. */
import { HAPPENINGS_ALL, Happening } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { NAME_MAX } from "../../wire/limits.ts";
import { putNotice } from "../channelnotice.ts";
import type { Client } from "../client.ts";
import { nodeKey } from "../nodekey.ts";
import { NoticeKind, type NoticeQueue } from "../noticequeue.ts";
import { Root } from "./ghostchannel.ts";

const { ATTRIB, CLOSE_WRITE, CREATE, MODIFY, MOVE } = Happening;

/** Serves the EVENT frame HAPPENED, of which the number is read. */
export function serveHappened(c: Client, notices: NoticeQueue): void {
  const { reader } = c.transport;
  const kinds = reader.uint();
  if (kinds > HAPPENINGS_ALL) throw new ProtocolError("unknown kinds of happening");
  reader.uint64();
  const { high, low } = reader;
  const name = reader.latin1(NAME_MAX);
  reader.uint64();
  const [toHigh, toLow] = [reader.high, reader.low];
  const toName = reader.latin1(NAME_MAX);
  reader.uint64();
  const [nodeHigh, nodeLow] = [reader.high, reader.low];
  reader.finish();
  for (const text of [name, toName]) {
    if (text === "." || text === ".." || /[/\0]/.test(text)) {
      throw new ProtocolError("happening of what is no name");
    }
  }
  const { watches } = c;
  const inside = watches?.superblockOf(high, low) ?? watches?.superblockOf(toHigh, toLow);
  if (watches === undefined || inside === undefined) return;
  const { channel, device } = inside;
  // Whoever hears of it must not find what was there before.
  if ((kinds & (CREATE | MOVE)) !== 0) dropDirectory(c, toLow === 0 ? high : toHigh, toLow || low);
  if ((kinds & CREATE) !== 0) putNotice(c, notices, channel, NoticeKind.ENTRY, high, low, name);
  c.dropKnown(high, low);
  if (nodeLow !== 0 && (kinds & (MODIFY | CLOSE_WRITE | ATTRIB)) !== 0) {
    c.dropKnown(nodeHigh, nodeLow);
    const kind = (kinds & MODIFY) !== 0 ? NoticeKind.DATA : NoticeKind.ATTRIBUTES;
    putNotice(c, notices, channel, kind, nodeHigh, nodeLow);
  }
  const { channels } = c.fuse;
  const roots =
    (channels.isRoot(channel, high, low) ? Root.FROM : 0) |
    (channels.isRoot(channel, toHigh, toLow) ? Root.TO : 0);
  const about = { kinds, high, low, name, toHigh, toLow, toName, nodeHigh, nodeLow };
  watches.heard({ ...about, device, roots, notices: notices.count });
}

/** What was expected of a directory's names is no longer true. */
function dropDirectory(c: Client, high: number, low: number): void {
  c.dropKnown(high, low);
  if (c.lookahead.active) c.lookahead.dropName(nodeKey(high, low));
}
