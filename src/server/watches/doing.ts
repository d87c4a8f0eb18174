/**
 * Which events (inotify) an operation causes itself: those of its kinds that come right
 * after it, to what it was about, are its session's own doing, of which the client's
 * kernel has told already.
 */
import {
  IN_ATTRIB,
  IN_CLOSE_WRITE,
  IN_CREATE,
  IN_DELETE,
  IN_DELETE_SELF,
  IN_MODIFY,
  IN_MOVE_SELF,
  IN_MOVED_FROM,
  IN_MOVED_TO,
} from "../../sys/inotify.ts";
import { OP_COUNT, Op } from "../../wire/ops.ts";
import type { Operation, Session } from "../session.ts";

const NONE = -1;
const MAKES = IN_CREATE | IN_ATTRIB;
const REMOVES = IN_DELETE | IN_DELETE_SELF | IN_ATTRIB;
const MOVES = IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB;
const WRITES = IN_MODIFY | IN_ATTRIB;

/** By operation; 0 for those that change nothing. */
const CAUSES = new Uint32Array(OP_COUNT);
for (const op of [Op.SYMLINK, Op.MKNOD, Op.MKDIR, Op.LINK, Op.SOCKET_BIND]) CAUSES[op] = MAKES;
for (const op of [Op.UNLINK, Op.RMDIR]) CAUSES[op] = REMOVES;
for (const op of [Op.WRITE, Op.FALLOCATE, Op.COPY_RANGE, Op.SETATTR, Op.OPEN]) CAUSES[op] = WRITES;
for (const op of [Op.SETXATTR, Op.REMOVEXATTR, Op.IOCTL]) CAUSES[op] = IN_ATTRIB;
// A descriptor of ours, made for locks, may be closed.
for (const op of [Op.SETLK, Op.FLOCK, Op.UNLOCK]) CAUSES[op] = IN_CLOSE_WRITE;
CAUSES[Op.CREATE] = MAKES | WRITES;
CAUSES[Op.RENAME] = MOVES;
CAUSES[Op.SOCKET_REBIND] = MAKES | MOVES;

/** Runs `operation` number `op` of the session and keeps to itself what that causes. */
export function runOwn(session: Session, op: number, operation: Operation): number {
  const { happenings } = session.services.watcher;
  const causes = CAUSES[op] as number;
  if (happenings.fd < 0 || causes === 0) return operation(session);
  begin(session);
  const errno = operation(session);
  end(session, causes | IN_CLOSE_WRITE);
  return errno;
}

/** The same for a one-way message, which may close files. */
export function closeOwn(session: Session, message: (session: Session) => void): void {
  if (session.services.watcher.happenings.fd < 0) {
    message(session);
    return;
  }
  begin(session);
  message(session);
  end(session, IN_CLOSE_WRITE);
}

function begin({ services, touched }: Session): void {
  services.watcher.happenings.deliver();
  touched.row = NONE;
  touched.otherRow = NONE;
  touched.name = "";
  touched.otherName = "";
}

function end({ services, touched, tree }: Session, causes: number): void {
  const { happenings } = services.watcher;
  if (tree === undefined) happenings.deliver();
  else happenings.deliver({ hearer: tree.hearing, causes, touched });
}
