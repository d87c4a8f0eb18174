/** Requests on open directories. */
import {
  DIRENT,
  DIRENT_NAME_OFFSET,
  ENTRY_OUT_SIZE,
  Fopen,
  FSYNC_FDATASYNC,
  FSYNC_IN,
  OPEN_OUT,
  OPEN_OUT_SIZE,
  Opcode,
  READ_IN,
  RELEASE_IN,
} from "../../fuse/protocol.ts";
import { readAttributes } from "../../wire/attributes.ts";
import { ATTRIBUTE_FIELDS, Policy } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { NAME_MAX, PAYLOAD_MAX } from "../../wire/limits.ts";
import { Oneway, Op } from "../../wire/ops.ts";
import { put64 } from "../answers.ts";
import type { Client } from "../client.ts";

const SLASH = 0x2f;
// dirent.h
const DT_CHR = 2;
const DT_BLK = 6;
const DT_REG = 8;
const PLAIN_ITEMS = 4;
const PLUS_ITEMS = 4 + ATTRIBUTE_FIELDS;
const DIRENTPLUS_OVERHEAD = ENTRY_OUT_SIZE + DIRENT_NAME_OFFSET;

/** Directories are opened when they are first read: opening costs no round trip. */
export function opendir(c: Client): number {
  const { view } = c.fuse.answer;
  for (let i = 0; i < OPEN_OUT_SIZE; i += 8) put64(view, c.answerBody + i, 0);
  const id = c.nextDirectory();
  view.setUint32(c.answerBody + OPEN_OUT.fh, id, true);
  // The entries of a watched directory stay in the page cache until they change.
  const { nodeHigh, nodeLow } = c.fuse;
  const isWatched = c.policyOf(nodeHigh, nodeLow) === Policy.WATCHED;
  const keep = isWatched && c.cache !== "never" && !c.memo.isChanging(nodeHigh, nodeLow);
  const flags = keep ? Fopen.CACHE_DIR | Fopen.KEEP_CACHE : 0;
  view.setUint32(c.answerBody + OPEN_OUT.open_flags, flags, true);
  c.answerBodyNow(OPEN_OUT_SIZE);
  return 0;
}

export function releasedir(c: Client): number {
  const id = c.u32(RELEASE_IN.fh);
  c.directoryEnds.delete(id);
  c.tellOnce(Oneway.RELEASEDIR, id);
  c.answerNow(0);
  return 0;
}

export function readdir(c: Client): number {
  const id = c.u32(READ_IN.fh);
  const end = c.directoryEnds.get(id);
  if (end !== undefined) {
    const { low, high } = end;
    if (c.u32(READ_IN.offset) === low && c.u32(READ_IN.offset + 4) === high) {
      c.answerBodyNow(0);
      return 0;
    }
    c.directoryEnds.delete(id);
  }
  const size = Math.min(c.u32(READ_IN.size), PAYLOAD_MAX / 2);
  const plus = c.fuse.opcode === Opcode.READDIRPLUS;
  const w = c.ask(Op.READDIR, size, id);
  w.uint(id);
  c.putNode(w);
  c.put64(w, READ_IN.offset);
  w.uint(size);
  w.uint(plus ? DIRENTPLUS_OVERHEAD : 0);
  c.send();
  return 0;
}

/** Turns the server's entries into the kernel's, which never take more room than was asked for. */
export function answerReaddir(c: Client, slot: number): void {
  const { transport, payload, pending } = c;
  const count = transport.reader.uint32();
  const atEnd = transport.reader.uint() !== 0;
  transport.reader.finish();
  payload.window(transport.payloadStart, transport.payloadStart + transport.payloadLength);
  const plus = pending.opcode[slot] === Opcode.READDIRPLUS;
  const limit = c.answerBody + (pending.first[slot] as number);
  let at = c.answerBody;
  let high = 0;
  let low = 0;
  for (let i = 0; i < count; i++) {
    at = putDirectoryEntry(c, slot, at, limit, plus);
    high = lastCookie.high;
    low = lastCookie.low;
  }
  payload.finish();
  if (atEnd && count > 0) c.directoryEnds.set(pending.second[slot] as number, { high, low });
  const end = c.view?.finishListing(c, slot, at, atEnd) ?? at;
  c.answer(slot, end - c.answerBody);
}

const lastCookie = { high: 0, low: 0 };

/** Writes one entry at `at`; where the next one goes. */
function putDirectoryEntry(
  c: Client,
  slot: number,
  at: number,
  limit: number,
  plus: boolean,
): number {
  const { payload } = c;
  const { bytes, view } = c.fuse.answer;
  const items = payload.array();
  if (items !== PLAIN_ITEMS && !(plus && items === PLUS_ITEMS)) {
    throw new ProtocolError("directory entry of unknown form");
  }
  payload.uint64();
  lastCookie.high = payload.high;
  lastCookie.low = payload.low;
  const type = payload.uint32();
  const length = payload.blob(NAME_MAX);
  const name = payload.start;
  payload.uint64();
  const { high, low } = payload;
  const entryBytes = plus ? ENTRY_OUT_SIZE : 0;
  const end = (at + entryBytes + DIRENT_NAME_OFFSET + length + 7) & ~7;
  if (end > limit || length === 0) throw new ProtocolError("directory entries do not fit");
  let inoHigh = high;
  let inoLow = low;
  if (items === PLUS_ITEMS) {
    readAttributes(payload, c.attributes);
    inoHigh = c.attributes.inoHigh;
    inoLow = c.attributes.inoLow;
    c.putEntryAt(at, slot, high, low);
  } else if (plus) {
    // Node 0: the kernel takes the name alone (fuse_direntplus_link).
    bytes.fill(0, at, at + ENTRY_OUT_SIZE);
  }
  const dirent = at + entryBytes;
  view.setUint32(dirent + DIRENT.ino, inoLow, true);
  view.setUint32(dirent + DIRENT.ino + 4, inoHigh, true);
  view.setUint32(dirent + DIRENT.off, lastCookie.low, true);
  view.setUint32(dirent + DIRENT.off + 4, lastCookie.high, true);
  view.setUint32(dirent + DIRENT.namelen, length, true);
  const isDevice = type === DT_CHR || type === DT_BLK;
  view.setUint32(dirent + DIRENT.type, isDevice && c.validity.deviceFiles ? DT_REG : type, true);
  const nameAt = dirent + DIRENT_NAME_OFFSET;
  for (let i = 0; i < length; i++) {
    const byte = payload.bytes[name + i] as number;
    // No file can be called so; the kernel would hand a name with a zero to programs.
    if (byte === 0 || byte === SLASH) throw new ProtocolError("directory entry has no proper name");
    bytes[nameAt + i] = byte;
  }
  bytes.fill(0, nameAt + length, end);
  return end;
}

export function fsyncdir(c: Client): number {
  const w = c.ask(Op.FSYNCDIR);
  c.putNode(w);
  w.uint(c.u32(FSYNC_IN.fsync_flags) & FSYNC_FDATASYNC);
  c.send();
  return 0;
}
