/** Locks: byte ranges (POSIX and OFD) and whole files (flock). */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  FLOCK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
  flock,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
} from "../../sys/lock.ts";
import { allocate, type Region } from "../../sys/memory.ts";
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR } from "../../sys/open.ts";
import { FileType, Lock } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { type LockFile, LockTable, withRange } from "../locks.ts";
import { LATER, type Session } from "../session.ts";
import { mode } from "../status.ts";
import { finishSync } from "./attributes.ts";

/** fs.h: OFFSET_MAX, the end of a lock that reaches to the end of the file. */
const END_OF_FILE = 0x7fff_ffff_ffff_ffffn;
const TYPES = [F_RDLCK, F_WRLCK, F_UNLCK] as const;

const scratch = allocate(FLOCK_STRUCT_SIZE);

/** A lock as asked for: 64-bit bounds are exact, the numbers for the table are not. */
interface Wanted {
  type: number;
  start: bigint;
  end: bigint;
}

function big(session: Session): bigint {
  session.reader.uint64();
  return (BigInt(session.reader.high) << 32n) | BigInt(session.reader.low);
}

function readWanted(session: Session): Wanted {
  const type = session.reader.uint32();
  const start = big(session);
  const end = big(session);
  if (type > Lock.UNLOCK) throw new ProtocolError(`unknown lock type ${type}`);
  if (start > END_OF_FILE || end > END_OF_FILE || end < start) {
    throw new ProtocolError("lock range is not a range");
  }
  return { type, start, end };
}

function putFlock(region: Region, wanted: Wanted): void {
  const length = wanted.end === END_OF_FILE ? 0n : wanted.end - wanted.start + 1n;
  region.view.setInt16(FLOCK.type, TYPES[wanted.type] as number, true);
  region.view.setInt16(FLOCK.whence, 0, true);
  region.view.setBigInt64(FLOCK.start, wanted.start, true);
  region.view.setBigInt64(FLOCK.len, length, true);
  region.view.setInt32(FLOCK.pid, 0, true);
}

/** Key of the owner argument here on `node`. */
function ownerKey(session: Session, node: number): string {
  session.reader.uint64();
  return LockTable.key(node, session.reader.high, session.reader.low);
}

/** The owner's open file description for `node`, made if need be; or an errno. */
function lockFile(session: Session, key: string, node: number, handle: number): LockFile | number {
  const { locks, reach } = session.attached;
  const known = locks.get(key);
  if (known !== undefined) {
    if (handle > 0) known.handle = handle;
    return known;
  }
  if (locks.full) return E.ENOLCK;
  const result = reach.stat(node);
  if (result < 0) return -result;
  // Clients have nothing else open, and opening a device may do who knows what.
  if ((mode() & FileType.MASK) !== FileType.REGULAR) return E.EINVAL;
  let fd = reach.open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fd = reach.open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  return fd < 0 ? -fd : locks.add(key, fd, node, handle);
}

/** `[node, owner, type, start, end]` → type, start, end, pid of a conflicting lock */
export function getlk(session: Session): number {
  const node = session.node();
  const key = ownerKey(session, node);
  const wanted = readWanted(session);
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  const { locks } = session.attached;
  const known = locks.get(key) !== undefined;
  const file = lockFile(session, key, node, 0);
  if (typeof file === "number") return file;
  putFlock(scratch, wanted);
  const result = fcntlLock(file.fd, F_OFD_GETLK, scratch.address);
  if (!known) locks.drop(key);
  if (result < 0) return -result;
  const { view } = scratch;
  const type = view.getInt16(FLOCK.type, true);
  const start = view.getBigInt64(FLOCK.start, true);
  const length = view.getBigInt64(FLOCK.len, true);
  const end = length === 0n ? END_OF_FILE : start + length - 1n;
  const pid = view.getInt32(FLOCK.pid, true);
  const w = session.reply(4);
  w.uint(type === F_UNLCK ? Lock.UNLOCK : type === F_WRLCK ? Lock.WRITE : Lock.READ);
  w.uint64(Number(start >> 32n), Number(start & 0xffff_ffffn));
  w.uint64(Number(end >> 32n), Number(end & 0xffff_ffffn));
  // An OFD lock names no process: ours are in the table.
  w.uint(pid > 0 ? pid : locks.holder(node, Number(start), Number(end)));
  session.send();
  return 0;
}

/** `[node, handle, owner, type, start, end, pid, wait (0|1)]` → nothing, once locked */
export function setlk(session: Session): number {
  const node = session.node();
  const handle = session.handle();
  const key = ownerKey(session, node);
  const wanted = readWanted(session);
  const pid = session.reader.uint32();
  const wait = session.reader.uint() !== 0;
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  if (handle <= 0) return E.EBADF;
  const { locks } = session.attached;
  if (wanted.type === Lock.UNLOCK && locks.get(key) === undefined) {
    finishSync(session, 0);
    return 0;
  }
  const file = lockFile(session, key, node, handle);
  if (typeof file === "number") return file;
  const finish = (result: number) => {
    if (result === 0) {
      const start = Number(wanted.start);
      file.ranges = withRange(file.ranges, {
        start,
        end: Number(wanted.end),
        type: wanted.type,
        pid,
      });
    }
    const idle = file.ranges.length === 0 && file.waits === 0;
    if (idle && locks.get(key) === file) locks.drop(key);
    finishSync(session, result);
  };
  putFlock(scratch, wanted);
  const result = fcntlLock(file.fd, F_OFD_SETLK, scratch.address);
  if (!wait || (result !== -E.EAGAIN && result !== -E.EACCES)) {
    finish(result);
    return 0;
  }
  return waitForRange(session, file, wanted, finish);
}

function waitForRange(
  session: Session,
  file: LockFile,
  wanted: Wanted,
  finish: (result: number) => void,
): number {
  const { locks } = session.attached;
  const wish = {
    node: file.node,
    start: Number(wanted.start),
    end: Number(wanted.end),
    type: wanted.type,
  };
  if (locks.wouldDeadlock(file.owner, wish)) return E.EDEADLK;
  const region = allocate(FLOCK_STRUCT_SIZE);
  putFlock(region, wanted);
  locks.beginWait(file, wish);
  const started = session.services.calls.startWait(
    session,
    SYS.fcntl,
    [file.fd, F_OFD_SETLKW, region.address],
    {
      attempt: () => fcntlLock(file.fd, F_OFD_SETLK, region.address),
      frees: region,
      ends: () => session.tree?.locks.endWait(file),
      done: finish,
    },
  );
  if (started) return LATER;
  locks.endWait(file);
  return E.ENOLCK;
}

/** `[handle, type, wait (0|1)]` → nothing, once locked */
export function flockOp(session: Session): number {
  const handle = session.handle();
  const type = session.reader.uint32();
  const wait = session.reader.uint() !== 0;
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  if (type > Lock.UNLOCK) throw new ProtocolError(`unknown lock type ${type}`);
  const op = type === Lock.READ ? LOCK_SH : type === Lock.WRITE ? LOCK_EX : LOCK_UN;
  const fd = session.attached.handles.fd[handle] as number;
  const result = flock(fd, op | LOCK_NB);
  if (!wait || result !== -E.EAGAIN) {
    finishSync(session, result);
    return 0;
  }
  const started = session.services.calls.startWait(session, SYS.flock, [fd, op], {
    attempt: () => flock(fd, op | LOCK_NB),
    handle,
    done: (outcome) => finishSync(session, outcome),
  });
  return started ? LATER : E.ENOLCK;
}

/** `[node, owner]` → nothing: the owner closed the file, its range locks end */
export function unlock(session: Session): number {
  const node = session.node();
  const key = ownerKey(session, node);
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  session.attached.locks.drop(key);
  finishSync(session, 0);
  return 0;
}
