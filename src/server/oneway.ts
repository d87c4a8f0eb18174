/** Messages that are never answered: forgets and releases, sent in batches. */
import { close } from "../sys/open.ts";
import { ROOT_NODE } from "../wire/constants.ts";
import { ProtocolError } from "../wire/error.ts";
import { FORGETS_MAX } from "../wire/limits.ts";
import { Oneway } from "../wire/ops.ts";
import { noteWritten } from "./coherence.ts";
import type { Session } from "./session.ts";

/**
 * Serves the one-way frame in the session's reader, and counts it. Should the
 * process die in between, releases come again, which does no harm; forgets do
 * not, because twice as many would take a node away that the client knows.
 */
export function oneway(session: Session): void {
  const reader = session.reader;
  const items = reader.array();
  const op = reader.uint();
  if (op === Oneway.FORGET) session.slots.countOneway();
  if (op === Oneway.FORGET) forget(session, items);
  else if (op === Oneway.RELEASE && items === 2) release(session);
  else if (op === Oneway.RELEASEDIR && items === 2) releaseDirectory(session);
  else throw new ProtocolError(`one-way message ${op} is unknown`);
  reader.finish();
  if (op !== Oneway.FORGET) session.slots.countOneway();
}

function forget(session: Session, items: number): void {
  const { nodes } = session.attached;
  const reader = session.reader;
  const count = reader.uint();
  if (count > FORGETS_MAX || items !== 2 + 2 * count) {
    throw new ProtocolError("FORGET of a wrong length");
  }
  for (let i = 0; i < count; i++) {
    reader.uint64();
    const row = nodes.row(reader.high, reader.low);
    const lookups = reader.uint();
    if (row > ROOT_NODE) session.attached.forget(row, lookups);
  }
}

function release(session: Session): void {
  const handle = session.handle();
  if (handle <= 0) return;
  noteWritten(session.attached, handle);
  session.services.polls.drop(session, handle);
  session.attached.release(handle);
}

function releaseDirectory(session: Session): void {
  const id = session.reader.uint32();
  const directory = session.attached.directories.get(id);
  if (directory === undefined) return;
  close(directory.fd);
  session.attached.directories.delete(id);
}
