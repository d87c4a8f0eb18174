/** Answers that describe an entry of a directory, and the directory after a change. */
import { E } from "../../sys/errno.ts";
import { ATTRIBUTE_FIELDS, FileType, Policy } from "../../wire/constants.ts";
import type { Writer } from "../../wire/writer.ts";
import type { Session } from "../session.ts";
import { whoListens } from "../sockets.ts";
import { identify, mode, statName, writeAttributes } from "../status.ts";

/** Results of an answer that describes an entry: node, then attributes. */
export const ENTRY_RESULTS = 1 + ATTRIBUTE_FIELDS;
/** Results of an answer that describes what was made, and the directory it was made in. */
export const MADE_RESULTS = ENTRY_RESULTS + ATTRIBUTE_FIELDS;

/**
 * Writes the node `row`, which was described last, as an entry: number and attributes,
 * which say of a socket who listens (sockets.ts) with `listens`.
 */
export function writeEntry(session: Session, w: Writer, row: number, listens = 0): void {
  const { nodes, reach } = session.attached;
  w.uint64(nodes.high(row), row);
  reach.writeAttributes(w, row, listens);
}

/**
 * Writes the attributes of a directory after a change of its entries: its
 * client's kernel has just dropped them and would ask for them next.
 */
export function writeDirectory(session: Session, w: Writer, row: number): void {
  const { reach } = session.attached;
  if (reach.stat(row) === 0) reach.writeAttributes(w, row);
  else writeAttributes(w, 0, Policy.UNKNOWN);
}

/**
 * The row of what was described last, found as `text` in `parent`, with a lookup
 * that is taken back should the answer be lost; -1 when there are too many.
 */
export function enter(session: Session, parent: number, text: string): number {
  const row = session.attached.nodes.intern(identify(), parent, text);
  if (row >= 0) session.countLookup(row);
  return row;
}

/**
 * Answers with the entry `name` (address) of `parent` and, if it is new, the parent, and
 * a key if there is one; 0 or an errno.
 */
export function replyEntry(
  session: Session,
  parent: number,
  dirfd: number,
  name: number,
  isNew: boolean,
  key?: number,
): number {
  const result = statName(dirfd, name);
  if (result < 0) return -result;
  const row = enter(session, parent, session.nameText);
  const { watched } = session.attached;
  watched.register(parent, dirfd);
  if (row < 0) return E.ENOMEM;
  if ((mode() & FileType.MASK) === FileType.DIRECTORY) {
    watched.registerEntry(row, parent, dirfd, name);
  }
  const isSocket = (mode() & FileType.MASK) === FileType.SOCKET;
  const listens = isSocket ? whoListens(session.attached, row) : 0;
  const results = isNew ? MADE_RESULTS : ENTRY_RESULTS;
  const w = session.reply(key === undefined ? results : results + 1);
  writeEntry(session, w, row, listens);
  if (isNew) writeDirectory(session, w, parent);
  if (key !== undefined) w.uint(key);
  session.send();
  return 0;
}
