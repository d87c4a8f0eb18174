/**
 * Keys for what the client's twin process serves: sockets, FIFOs, files to be passed on.
 * Streams are opened with them, at the bridge (server/bridge/).
 */
import { E } from "../../sys/errno.ts";
import {
  close,
  dup,
  O_CLOEXEC,
  O_NONBLOCK,
  O_PATH,
  openat,
  setNonBlocking,
} from "../../sys/open.ts";
import { FileType, OpenFlag } from "../../wire/constants.ts";
import { What } from "../bridge/messages.ts";
import { hostFlags } from "../hostflags.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { mode, statFd } from "../status.ts";

/** Answers with a key, or -errno. */
export function replyKey(session: Session, key: number): number {
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
