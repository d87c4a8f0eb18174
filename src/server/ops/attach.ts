/** ATTACH, which directory of the HOST the session is about, and PING, whether it lives. */
import { E } from "../../sys/errno.ts";
import { EPOCH_MAX, ROOT_NODE } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { openRoot } from "../exports.ts";
import { exportsFor } from "../named.ts";
import type { Session } from "../session.ts";
import type { Tree } from "../tree.ts";
import { canSplit, treeOf } from "../trees.ts";
import { ENTRY_RESULTS, writeEntry } from "./entries.ts";

/**
 * `[path, epoch, splits]` → readOnly (0|1), splits (0|1), entry of the root. The epoch is part of all
 * numbers of nodes and handles: those of an earlier session of the same mount mean nothing.
 */
export function attach(session: Session): number {
  const { reader } = session;
  const length = reader.blob(PATH_MAX);
  const path = reader.bytes.toString("utf8", reader.start, reader.at);
  const epoch = reader.uint();
  const asksToSplit = reader.uint() !== 0;
  reader.finish();
  if (epoch > EPOCH_MAX) throw new ProtocolError(`epoch ${epoch}`);
  // Bytes that are not UTF-8 would name another path.
  if (Buffer.byteLength(path) !== length) return E.EINVAL;
  if (session.tree !== undefined) {
    // An earlier process has attached the session, and was killed before it could say so.
    if (session.doubtSinceNs !== 0) return replyRoot(session, session.tree);
    throw new ProtocolError("session is attached already");
  }
  const root = openRoot(exportsFor(session.services, session.client.name), path);
  if (typeof root === "number") return root;
  const { client, record, services } = session;
  const { path: where, readOnly } = root;
  const splits = asksToSplit && canSplit(root.fd);
  const { server } = services.records;
  record.describe({ ...client, path: where, readOnly, splits, server, epoch });
  try {
    session.tree = treeOf(root, splits, services, session, record);
  } catch {
    // There is no room for its tables.
    return E.ENOMEM;
  }
  session.tree.allow = root.allow;
  return replyRoot(session, session.tree);
}

function replyRoot(session: Session, tree: Tree): number {
  tree.reach.stat(ROOT_NODE);
  const w = session.reply(2 + ENTRY_RESULTS);
  w.uint(tree.readOnly ? 1 : 0);
  w.uint(tree.mounts === undefined ? 0 : 1);
  writeEntry(session, w, ROOT_NODE);
  session.send();
  return 0;
}

/** `[]` → nothing: the server is there */
export function ping(session: Session): number {
  session.reader.finish();
  session.reply(0);
  session.send();
  return 0;
}
