/**
 * Abstract names of unix sockets (unix(7)) in the server's network namespace, where the export
 * allows the class names: whether anybody has one, and keys for connecting to it and for
 * listening at it.
 */
import { cstring } from "../../sys/cstring.ts";
import { E } from "../../sys/errno.ts";
import { write } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { memfdCreate } from "../../sys/sharedmemory.ts";
import { isTaking } from "../../sys/sockdiag.ts";
import { bindAbstract, unixSocket } from "../../sys/unixsocket.ts";
import { SOCKET_NAME_MAX } from "../../wire/limits.ts";
import { SocketType } from "../../wire/streams.ts";
import { What } from "../bridge/messages.ts";
import { isDone, noteDone } from "../doubt.ts";
import { isAllowed } from "../permission.ts";
import type { Session } from "../session.ts";
import { beginListening } from "./sockets.ts";
import { replyKey } from "./twins.ts";

const TYPES: ReadonlySet<number> = new Set(Object.values(SocketType));
const text = allocate(SOCKET_NAME_MAX);

/** `[name, type]` → whether somebody is connected to by it (1), or nobody (0) */
export function nameLook(session: Session): number {
  const name = session.reader.latin1(SOCKET_NAME_MAX);
  const type = session.reader.uint32();
  session.reader.finish();
  if (!isAllowed(session, "names")) return E.EPERM;
  session.reply(1).uint(isTaking(name, type) ? 1 : 0);
  session.send();
  return 0;
}

/** `[name]` → key of whoever has that name when a stream is opened with it */
export function nameOpen(session: Session): number {
  const name = session.reader.latin1(SOCKET_NAME_MAX);
  session.reader.finish();
  const given = session.twins.given(session);
  if (given !== undefined) return replyKey(session, given);
  if (!isAllowed(session, "names")) return E.EPERM;
  if (name === "") return E.EINVAL;
  return replyKey(session, session.twins.add(session, noted(name), What.NAME, 0));
}

/** A file in memory that has the name, for the bridge; or -errno. */
function noted(name: string): number {
  const fd = memfdCreate(cstring("qtfs-name"));
  if (fd < 0) return fd;
  text.bytes.latin1Write(name, 0);
  write(fd, text.address, name.length);
  return fd;
}

/** `[name, type]` → key: bind(2), and listen(2), for a program of the client's */
export function nameBind(session: Session): number {
  const name = session.reader.latin1(SOCKET_NAME_MAX);
  const type = session.reader.uint32();
  session.reader.finish();
  const given = session.twins.given(session);
  if (given !== undefined) return replyKey(session, given);
  if (!isAllowed(session, "names")) return E.EPERM;
  if (!TYPES.has(type)) return E.EPROTOTYPE;
  const fd = unixSocket(type);
  if (fd < 0) return -fd;
  let result = bindAbstract(fd, name);
  if (result === 0) result = beginListening(fd, type);
  if (result < 0) {
    close(fd);
    // An earlier run of the request has given it to the bridge, and was not answered.
    const isOwn = result === -E.EADDRINUSE && isDone(session);
    return isOwn ? replyKey(session, session.twins.addAgain(session)) : -result;
  }
  // Before the bridge has it: a process that ends in between takes the socket with it.
  noteDone(session);
  return replyKey(session, session.twins.add(session, fd, What.NAMED_LISTENER, type));
}
