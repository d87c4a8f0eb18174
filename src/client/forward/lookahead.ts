/** Lookups answered ahead, and the reading of directories that makes it possible. */
import { IN_HEADER_SIZE } from "../../fuse/protocol.ts";
import { readAttributes } from "../../wire/attributes.ts";
import { ATTRIBUTE_FIELDS, Policy } from "../../wire/constants.ts";
import { NAME_MAX } from "../../wire/limits.ts";
import { Oneway, Op } from "../../wire/ops.ts";
import { putEntry } from "../answers.ts";
import type { Client } from "../client.ts";
import { LOOKAHEAD_ENTRIES } from "../lookahead.ts";
import { nodeKey } from "../nodekey.ts";

const PLUS_ITEMS = 4 + ATTRIBUTE_FIELDS;
/** Room an entry is said to take: the server sends as many as fit. */
const ENTRY_ROOM = 256;

/** Answers the LOOKUP of a name of `length` bytes, if it is known ahead. */
export function answerAhead(c: Client, length: number): boolean {
  const { fuse } = c;
  const name = fuse.request.bytes.latin1Slice(IN_HEADER_SIZE, IN_HEADER_SIZE + length);
  const entry = c.lookahead.take(nodeKey(fuse.nodeHigh, fuse.nodeLow), name);
  if (entry === undefined) return false;
  const { high, low, attributes } = entry;
  c.answerBodyNow(putEntry(fuse.answer.view, c.answerBody, high, low, attributes, c.validity));
  return true;
}

/** A LOOKUP was answered: perhaps the others of its directory will follow. */
export function considerLookahead(c: Client, slot: number): void {
  const high = c.pending.nodeHigh[slot] as number;
  const low = c.pending.nodeLow[slot] as number;
  if (!c.lookahead.found(nodeKey(high, low))) return;
  if (!c.hasSlot) return;
  const id = c.nextDirectory();
  const w = c.askForOurselves(Op.READDIR, high, low, c.lookahead.changes);
  w.uint(id);
  w.uint64(high, low);
  w.uint(0);
  w.uint(LOOKAHEAD_ENTRIES * ENTRY_ROOM);
  w.uint(ENTRY_ROOM);
  c.send();
  c.tell(Oneway.RELEASEDIR, id);
}

/** Keeps the entries that the server sent for a lookahead. */
export function keepAhead(c: Client, slot: number): void {
  const { transport, payload, pending } = c;
  const directory = nodeKey(pending.nodeHigh[slot] as number, pending.nodeLow[slot] as number);
  const isTrue = pending.first[slot] === c.lookahead.changes;
  if (!isTrue) c.lookahead.giveUp(directory);
  const count = transport.reader.uint32();
  payload.window(transport.payloadStart, transport.payloadStart + transport.payloadLength);
  for (let i = 0; i < count; i++) {
    const items = payload.array();
    payload.uint64();
    payload.uint32();
    const name = payload.latin1(NAME_MAX);
    payload.uint64();
    const { high, low } = payload;
    if (items !== PLUS_ITEMS) continue;
    readAttributes(payload, c.attributes);
    if (isTrue && c.attributes.policy === Policy.WATCHED) {
      c.lookahead.keep(directory, name, high, low, c.attributes);
    } else {
      c.forget(high, low, 1);
    }
  }
  payload.finish();
}
