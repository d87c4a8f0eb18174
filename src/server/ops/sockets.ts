/** Sockets that the server binds for programs of the client's. */
import { fchmod, fchmodat, fchownat } from "../../sys/attr.ts";
import { PathBuffer } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { AT_SYMLINK_NOFOLLOW, close } from "../../sys/open.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../sys/sockopt.ts";
import { RENAME_NOREPLACE, renameat2, unlinkat } from "../../sys/tree.ts";
import { listenAt, unixSocket } from "../../sys/unixsocket.ts";
import { FileType } from "../../wire/constants.ts";
import { SOCKET_NAME_MAX } from "../../wire/limits.ts";
import { SocketType } from "../../wire/streams.ts";
import { asServer } from "../caller.ts";
import { noteDone } from "../doubt.ts";
import type { Session } from "../session.ts";
import { bindThere } from "../socketplace.ts";
import { nameOfInode } from "../sockets.ts";
import { group, identify, mode, owner, statName } from "../status.ts";
import { replyEntry } from "./entries.ts";
import { findMade, makes, place, readCaller, readMaking, refuse } from "./making.ts";
import { replyKey } from "./twins.ts";

/** What listen(2) is asked for; the kernel's own bound (net.core.somaxconn) is lower as a rule. */
const BACKLOG = 4096;
const PERMISSIONS = 0o777;
const path = new PathBuffer(1);
const TYPES: ReadonlySet<number> = new Set(Object.values(SocketType));

/** Has `fd` take connections, or datagrams with who has sent them: 0 or -errno. */
export function beginListening(fd: number, type: number): number {
  if (type === SocketType.DGRAM) return setInt(fd, SOL_SOCKET, SO_PASSCRED, 1);
  return listenAt(fd, BACKLOG);
}

/**
 * `[parent, name, mode, umask, uid, gid, group, type]` → entry, the parent's attributes, key:
 * bind(2), and listen(2), for a program of the client's
 */
export function socketBind(session: Session): number {
  const { reader } = session;
  const refused = readMaking(session);
  const name = session.nameText;
  const wanted = reader.uint32();
  makes(FileType.SOCKET, 0);
  const umask = reader.uint32();
  const type = readCaller(session, umask, () => reader.uint32());
  if (refused !== 0) return refuse(refused);
  if (!TYPES.has(type)) return refuse(E.EPROTOTYPE);
  if (name.length > SOCKET_NAME_MAX) return refuse(E.EINVAL);
  const fd = unixSocket(type);
  if (fd < 0) return refuse(-fd);
  const bound = bindMaking(session, fd, name, wanted & PERMISSIONS);
  asServer();
  const result = bound === 0 ? beginListening(fd, type) : bound;
  if (result < 0) {
    close(fd);
    return result === -E.EADDRINUSE ? E.EEXIST : -result;
  }
  noteDone(session);
  const { parent, dirfd, name: address } = place();
  const described = statName(dirfd, address);
  if (described < 0) {
    close(fd);
    return -described;
  }
  const key = session.twins.addListener(session, fd, type, nameOfInode());
  if (key < 0) return undo(-key);
  return replyEntry(session, parent, dirfd, address, true, key);
}

/** Takes back what was bound, for `errno`. */
function undo(errno: number): number {
  const { dirfd, name } = place();
  unlinkat(dirfd, name, 0);
  return errno;
}

/** Binds `fd` where the request says; 0 or -errno. */
function bindMaking(session: Session, fd: number, name: string, permissions: number): number {
  const { dirfd, name: address } = place();
  // bind(2) gives the file the socket's own mode, less the umask.
  const chosen = fchmod(fd, permissions);
  if (chosen < 0) return chosen;
  const result = bindThere(fd, dirfd, name, session.attached.path);
  if (result !== -E.EADDRINUSE) return result;
  // An earlier run of the request has bound it, in a process that is gone, and so is its socket.
  const made = findMade(session);
  if (made < 0) return result;
  close(made);
  const removed = unlinkat(dirfd, address, 0);
  return removed < 0 ? removed : bindThere(fd, dirfd, name, session.attached.path);
}

/**
 * `[node, type]` → key: another socket of the same place, mode and owner takes the
 * place of one that was bound for the client by a process of the server that is gone
 */
export function socketRebind(session: Session): number {
  const row = session.node();
  const type = session.reader.uint32();
  session.reader.finish();
  const given = session.twins.given(session);
  if (given !== undefined) return replyKey(session, given);
  if (row < 0) return E.ESTALE;
  const { reach, readOnly } = session.attached;
  if (readOnly) return E.EROFS;
  if (!TYPES.has(type)) return E.EPROTOTYPE;
  const dirfd = reach.directoryOf(row);
  if (dirfd < 0) return -dirfd;
  if ((mode() & FileType.MASK) !== FileType.SOCKET) return E.EINVAL;
  const fd = unixSocket(type);
  if (fd < 0) return -fd;
  const result = replace(session, row, fd, type, dirfd);
  if (result < 0) {
    close(fd);
    return -result;
  }
  return replyKey(session, session.twins.addListener(session, fd, type, nameOfInode()));
}

/** Has `fd` listen in the place of `row`, an entry of `dirfd` that was described last; 0 or -errno. */
function replace(session: Session, row: number, fd: number, type: number, dirfd: number): number {
  const [uid, gid, permissions] = [owner(), group(), mode() & PERMISSIONS];
  const { nodes, reach } = session.attached;
  const there = nodes.nameAddress(row);
  // For a moment it has another name: who connects by the old one is refused either way.
  const aside = path.putLatin1(0, `.qtfs-${crypto.randomUUID()}`);
  let result = renameat2(dirfd, there, dirfd, aside, RENAME_NOREPLACE);
  if (result < 0) return result;
  result = bindThere(fd, dirfd, nodes.nameOf(row), session.attached.path);
  if (result < 0) {
    renameat2(dirfd, aside, dirfd, there, RENAME_NOREPLACE);
    return result;
  }
  unlinkat(dirfd, aside, 0);
  result = fchmodat(dirfd, there, permissions);
  if (result === 0) result = fchownat(dirfd, there, uid, gid, AT_SYMLINK_NOFOLLOW);
  if (result === 0) result = beginListening(fd, type);
  if (result === 0) result = statName(dirfd, there);
  if (result < 0) return result;
  reach.release(row);
  nodes.becomes(row, identify());
  return 0;
}
