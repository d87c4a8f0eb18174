/** What symbolic links say, and what procfs's magic ones lead to. */
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { readlinkat } from "../../sys/tree.ts";
import { FileType, Policy } from "../../wire/constants.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { asCallerAltogether } from "../asker.ts";
import { isMagic, mayFollow, openMagic } from "../magic.ts";
import type { Session } from "../session.ts";
import { EMPTY_PATH, group, identify, keepingStatus, mode, owner, statFd } from "../status.ts";
import { ENTRY_RESULTS, writeEntry } from "./entries.ts";

const MAGIC_RESULTS = 3;

/** What can be opened here: a pipe of the HOST's would be another one on the client, and wait for ever. */
const REACHABLE: ReadonlySet<number> = new Set([
  FileType.REGULAR,
  FileType.DIRECTORY,
  FileType.SYMLINK,
  FileType.CHARACTER,
  FileType.BLOCK,
  FileType.SOCKET,
]);

/** `[node, uid, gid]` → magic (0|1), uid and gid of its owner; payload: the target */
export function readlink(session: Session): number {
  const node = session.node();
  const callerUid = session.reader.uint32();
  const callerGid = session.reader.uint32();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const magic = isMagicNode(session, node);
  const [uid, gid] = magic ? [owner(), group()] : [0, 0];
  const fd = session.attached.reach.fd(node);
  if (fd < 0) return -fd;
  const w = session.reply(MAGIC_RESULTS);
  w.uint(magic ? 1 : 0);
  w.uint(uid);
  w.uint(gid);
  const asCaller = callerUid !== 0 && session.attached.reach.policy(node) === Policy.LIVE;
  const room = session.transport.payloadRoom();
  const read = () => readlinkat(fd, EMPTY_PATH, room, PATH_MAX + 1);
  const length = asCaller ? asCallerAltogether(callerUid, callerGid, read) : read();
  if (length < 0) {
    session.transport.abandon();
    return -length;
  }
  session.transport.endInline(length);
  return 0;
}

/** Whether a node is a magic link, which is described then. */
function isMagicNode(session: Session, node: number): boolean {
  const { nodes, reach } = session.attached;
  if (reach.policy(node) !== Policy.LIVE) return false;
  const parent = reach.directoryOf(node);
  return parent >= 0 && isMagic(parent, nodes.nameAddress(node));
}

/** `[node, uid, gid]` → entry of what the magic link leads to, for that user of the client */
export function follow(session: Session): number {
  const node = session.node();
  const uid = session.reader.uint32();
  const gid = session.reader.uint32();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const { follows, nodes, reach } = session.attached;
  if (!follows) return E.EACCES;
  const parent = reach.directoryOf(node);
  if (parent < 0) return -parent;
  if (!mayFollow(uid, gid, owner(), group())) return E.EACCES;
  const fd = openMagic(parent, nodes.nameAddress(node));
  if (fd < 0) return -fd;
  const row = enterLed(session, node, fd);
  if (row < 0) return -row;
  writeEntry(session, session.reply(ENTRY_RESULTS), row);
  session.send();
  return 0;
}

/** The row of what `fd` is open on, which the link `node` leads to; -errno with `fd` closed. */
function enterLed(session: Session, node: number, fd: number): number {
  const { nodes, reach } = session.attached;
  if (statFd(fd) !== 0 || !REACHABLE.has(mode() & FileType.MASK)) {
    close(fd);
    return -E.ENXIO;
  }
  const row = nodes.internLed(identify(), node);
  if (row < 0) {
    close(fd);
    return -E.ENOMEM;
  }
  keepingStatus(() => reach.adopt(row, fd));
  session.countLookup(row);
  return row;
}
