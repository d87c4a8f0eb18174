/**
 * Keys for what the client's twin process serves: sockets, FIFOs, files to be passed on.
 * Streams are opened with them, at the bridge (server/bridge/).
 */
import { fchmod, fchmodat, fchownat } from "../../sys/attr.ts";
import { PathBuffer } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  close,
  dup,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  openat,
  setNonBlocking,
} from "../../sys/open.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../sys/sockopt.ts";
import { RENAME_NOREPLACE, renameat2, unlinkat } from "../../sys/tree.ts";
import { listenAt, unixSocket } from "../../sys/unixsocket.ts";
import { FileType, OpenFlag } from "../../wire/constants.ts";
import { SOCKET_NAME_MAX } from "../../wire/limits.ts";
import { SocketType } from "../../wire/streams.ts";
import { What } from "../bridge/box.ts";
import { asServer } from "../caller.ts";
import { noteDone } from "../doubt.ts";
import { hostFlags } from "../hostflags.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { bindThere } from "../socketplace.ts";
import { group, identify, mode, owner, statFd, statName } from "../status.ts";
import { replyEntry } from "./entries.ts";
import { findMade, makes, place, readCaller, readMaking, refuse } from "./making.ts";

/** What listen(2) is asked for; the kernel's own bound (net.core.somaxconn) is lower as a rule. */
const BACKLOG = 4096;
const PERMISSIONS = 0o777;
const path = new PathBuffer(1);
const TYPES: ReadonlySet<number> = new Set(Object.values(SocketType));

/** Answers with a key, or -errno. */
function replyKey(session: Session, key: number): number {
  if (key < 0) return -key;
  session.reply(1).uint(key);
  session.send();
  return 0;
}

/** `[node]` → key of a socket or FIFO */
export function twinOpen(session: Session): number {
  const row = session.node();
  session.reader.finish();
  const given = session.twins.given(session);
  if (given !== undefined) return replyKey(session, given);
  if (row < 0) return E.ESTALE;
  const fd = session.attached.reach.fd(row);
  if (fd < 0) return -fd;
  const described = statFd(fd);
  if (described < 0) return -described;
  const type = mode() & FileType.MASK;
  if (type !== FileType.SOCKET && type !== FileType.FIFO) return E.EINVAL;
  return replyKey(session, session.twins.add(session, dup(fd), What.NODE, 0));
}

/** `[key]`: one that is not known has been closed already, or ended with another process */
export function twinClose(session: Session): number {
  const key = session.reader.uint();
  session.reader.finish();
  session.twins.remove(session, key);
  session.reply(0);
  session.send();
  return 0;
}

/**
 * `[node, flags]` → key of a file or directory that is opened so, to be passed on; of
 * whatever it is (O_PATH) where they say neither READ nor WRITE
 */
export function passOpen(session: Session): number {
  const row = session.node();
  const wanted = session.reader.uint32();
  const flags = hostFlags(wanted);
  session.reader.finish();
  const given = session.twins.given(session);
  if (given !== undefined) return replyKey(session, given);
  if (row < 0) return E.ESTALE;
  const { reach, readOnly } = session.attached;
  if (readOnly && (wanted & OpenFlag.WRITE) !== 0) return E.EROFS;
  if ((wanted & (OpenFlag.READ | OpenFlag.WRITE)) === 0) {
    const path = reach.fd(row);
    const named = path < 0 ? path : openat(-1, procPath(path), O_PATH | O_CLOEXEC, 0);
    return replyKey(session, session.twins.add(session, named, What.FILE, 0));
  }
  if (reach.isSpecial(row)) return E.EINVAL;
  const fd = reach.open(row, flags | O_NONBLOCK);
  if (fd < 0) return -fd;
  const type = mode() & FileType.MASK;
  if (type !== FileType.REGULAR && type !== FileType.DIRECTORY) {
    close(fd);
    return E.EINVAL;
  }
  setNonBlocking(fd, false);
  return replyKey(session, session.twins.add(session, fd, What.FILE, 0));
}

/** Has `fd` take connections, or datagrams with who has sent them: 0 or -errno. */
function beginListening(fd: number, type: number): number {
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
  const key = session.twins.add(session, fd, What.LISTENER, type);
  if (key < 0) return undo(-key);
  const { parent, dirfd, name: address } = place();
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
  return replyKey(session, session.twins.add(session, fd, What.LISTENER, type));
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
