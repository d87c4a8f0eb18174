/**
 * Writes to the end of a file: where the data goes, and how much of it an earlier
 * run of the request in doubt has written there.
 */
import { pread } from "../../sys/io.ts";
import { allocate, free } from "../../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK, O_RDONLY, openat } from "../../sys/open.ts";
import { PAYLOAD_MAX } from "../../wire/limits.ts";
import { NOTHING, note, noted } from "../doubt.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { size, statFd } from "../status.ts";

/** What others may have appended before the data that is looked for. */
const OTHERS_MAX = 4 * 1024 * 1024;
/** Data of fewer bytes is looked for in one place alone: others' may well contain it. */
const SCAN_MIN = 16;
/** Data is looked for by its beginning, and compared where that is, this often at most. */
const KEY_BYTES = 64;
const COMPARED_MAX = 64;
/** A write that was cut ends where a block or a page does. */
const BLOCK_BYTES = 512;

interface Append {
  /** Where the data begins in the file, as far as that is known; -1 otherwise. */
  place: number;
  /** How many bytes of it are there already: more than 0 in doubt alone. */
  there: number;
}

const append: Append = { place: 0, there: 0 };

/** Finds out where the payload of the request being served goes. The record is reused. */
export function placeAppend(session: Session, fd: number): Readonly<Append> {
  append.there = 0;
  if (session.doubtSinceNs !== 0) findPayload(session, fd);
  if (append.there > 0) return append;
  append.place = statFd(fd) === 0 ? size() : NOTHING;
  note(session, append.place);
  return append;
}

/** Looks for the payload behind the size noted before; the same of anybody else's is taken for it. */
function findPayload(session: Session, fd: number): void {
  const before = noted(session);
  if (before === NOTHING || statFd(fd) !== 0 || size() <= before) return;
  const added = size() - before;
  // The handle need not be readable.
  const readable = openat(-1, procPath(fd), O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
  if (readable < 0) return;
  const { payloadStart, payloadLength, reader } = session.transport;
  const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  const room = allocate(OTHERS_MAX + PAYLOAD_MAX);
  const got = pread(readable, room.address, Math.min(added, room.size), before);
  close(readable);
  const found = findIn(room.bytes.subarray(0, Math.max(got, 0)), payload);
  const isCut = added < payloadLength && (before + added) % BLOCK_BYTES === 0;
  if (found >= 0) {
    append.place = before + found;
    append.there = payloadLength;
  } else if (isCut && got === added && room.bytes.compare(payload, 0, added, 0, added) === 0) {
    append.place = before;
    append.there = added;
  }
  free(room);
}

/** Where `data` is in `bytes`; -1 where it is not, or not soon enough. */
function findIn(bytes: Buffer, data: Buffer): number {
  const isAt = (at: number) => data.equals(bytes.subarray(at, at + data.length));
  if (data.length < SCAN_MIN) return isAt(0) ? 0 : NOTHING;
  const key = data.subarray(0, KEY_BYTES);
  let at = bytes.indexOf(key);
  for (let compared = 0; at >= 0 && compared < COMPARED_MAX; compared++) {
    if (isAt(at)) return at;
    at = bytes.indexOf(key, at + 1);
  }
  return NOTHING;
}
