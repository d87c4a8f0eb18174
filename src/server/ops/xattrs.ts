/** Extended attributes, POSIX ACLs among them (their names are `system.posix_acl_…`). */
import { E } from "../../sys/errno.ts";
import { dropFsetid, raiseFsetid } from "../../sys/identity.ts";
import { allocate, free } from "../../sys/memory.ts";
import { getxattr, listxattr, removexattr, setxattr } from "../../sys/xattr.ts";
import { SetXattr } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { XATTR_NAME_MAX, XATTR_VALUE_MAX } from "../../wire/limits.ts";
import { isChangedSince } from "../doubt.ts";
import { procPath } from "../reach.ts";
import type { Session } from "../session.ts";
import { statFd } from "../status.ts";

/** `[node, name, flags, size]`, payload: the value → nothing */
export function setxattrOp(session: Session): number {
  const node = session.node();
  const name = session.textAt(0, XATTR_NAME_MAX);
  const flags = session.reader.uint32();
  const size = session.reader.uint32();
  session.reader.finish();
  const { payloadAddress, payloadLength } = session.transport;
  if (size !== payloadLength || size > XATTR_VALUE_MAX) {
    throw new ProtocolError("SETXATTR with a value of another length");
  }
  if (node < 0) return E.ESTALE;
  const { reach, readOnly } = session.attached;
  if (readOnly) return E.EROFS;
  const fd = reach.fd(node);
  if (fd < 0) return -fd;
  const kill = (flags & SetXattr.KILL_SGID) !== 0;
  // Setting an access ACL clears set-group-id for a caller outside the group.
  if (kill) dropFsetid();
  const result = setxattr(
    procPath(fd),
    name,
    payloadAddress,
    size,
    flags & (SetXattr.CREATE | SetXattr.REPLACE),
  );
  if (kill) raiseFsetid();
  if (result < 0 && !(result === -E.EEXIST && wasSet(session, fd, name, size))) return -result;
  session.reply(0);
  session.send();
  return 0;
}

/** Whether an earlier run of the request in doubt has set what is set: its payload, of `size` bytes. */
function wasSet(session: Session, fd: number, name: number, size: number): boolean {
  if (session.doubtSinceNs === 0 || statFd(fd) !== 0 || !isChangedSince(session)) return false;
  const { payloadStart, reader } = session.transport;
  const room = allocate(XATTR_VALUE_MAX);
  const got = getxattr(procPath(fd), name, room.address, XATTR_VALUE_MAX);
  const value = reader.bytes.subarray(payloadStart, payloadStart + size);
  const same = got === size && value.equals(room.bytes.subarray(0, got));
  free(room);
  return same;
}

/** Answers with the size alone, or the bytes that `get` puts into the payload. */
function replyBytes(session: Session, size: number, get: (address: number) => number): number {
  if (size > XATTR_VALUE_MAX) throw new ProtocolError("xattr of more than its limit");
  const w = session.reply(1);
  if (size === 0) {
    const needed = get(0);
    if (needed >= 0) {
      w.uint(needed);
      session.send();
      return 0;
    }
    session.transport.abandon();
    return -needed;
  }
  // The length is known only afterwards, so the count takes a fixed width here.
  const got = get(session.transport.payloadRoom() + MAX_COUNT);
  if (got < 0) {
    session.transport.abandon();
    return -got;
  }
  const from = w.at + MAX_COUNT;
  w.uint(got);
  w.bytes.copyWithin(w.at, from, from + got);
  session.transport.endInline(got);
  return 0;
}

/** Bytes of the longest count an answer has. */
const MAX_COUNT = 9;

/** `[node, name, size or 0]` → length; payload: the value unless size is 0 */
export function getxattrOp(session: Session): number {
  const node = session.node();
  const name = session.textAt(0, XATTR_NAME_MAX);
  const size = session.reader.uint32();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const fd = session.attached.reach.fd(node);
  if (fd < 0) return -fd;
  return replyBytes(session, size, (address) => getxattr(procPath(fd), name, address, size));
}

/** `[node, size or 0]` → length; payload: the names unless size is 0 */
export function listxattrOp(session: Session): number {
  const node = session.node();
  const size = session.reader.uint32();
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const fd = session.attached.reach.fd(node);
  if (fd < 0) return -fd;
  return replyBytes(session, size, (address) => listxattr(procPath(fd), address, size));
}

/** `[node, name]` → nothing */
export function removexattrOp(session: Session): number {
  const node = session.node();
  const name = session.textAt(0, XATTR_NAME_MAX);
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const { reach, readOnly } = session.attached;
  if (readOnly) return E.EROFS;
  const fd = reach.fd(node);
  if (fd < 0) return -fd;
  const result = removexattr(procPath(fd), name);
  if (result < 0 && !(result === -E.ENODATA && wasRemoved(session, fd))) return -result;
  session.reply(0);
  session.send();
  return 0;
}

/** Whether an earlier run of the request in doubt may have removed what is not there. */
function wasRemoved(session: Session, fd: number): boolean {
  return session.doubtSinceNs !== 0 && statFd(fd) === 0 && isChangedSince(session);
}
