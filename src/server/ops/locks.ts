/** Locks: byte ranges (POSIX and OFD) and whole files (flock). */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_OFD_SETLKW,
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
import { allocate } from "../../sys/memory.ts";
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY, O_RDWR } from "../../sys/open.ts";
import { FileType, Lock } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { NO_ROW } from "../lockrows.ts";
import { type LockFile, LockTable } from "../locks.ts";
import { END_OF_FILE, putFlock, type Range } from "../ofdlock.ts";
import { LATER, type Session } from "../session.ts";
import { mode } from "../status.ts";
import { finishSync } from "./attributes.ts";

const scratch = allocate(FLOCK_STRUCT_SIZE);

function big(session: Session): bigint {
  session.reader.uint64();
  return (BigInt(session.reader.high) << 32n) | BigInt(session.reader.low);
}

function readRange(session: Session): Range {
  const type = session.reader.uint32();
  const start = big(session);
  const end = big(session);
  if (type > Lock.UNLOCK) throw new ProtocolError(`unknown lock type ${type}`);
  if (start > END_OF_FILE || end > END_OF_FILE || end < start) {
    throw new ProtocolError("lock range is not a range");
  }
  return { type, start, end };
}

/** Who locks: the owner argument read last, a 64-bit number in halves. */
const owner = { high: 0, low: 0 };

/** Reads the owner argument; its key on `node`. */
function ownerKey(session: Session, node: number): string {
  session.reader.uint64();
  owner.high = session.reader.high;
  owner.low = session.reader.low;
  return LockTable.key(node, owner.high, owner.low);
}

/** The owner's open file description for `node`, made if need be; or an errno. */
function lockFile(session: Session, key: string, node: number, handle: number): LockFile | number {
  const { locks, reach } = session.attached;
  const known = locks.get(key);
  if (known !== undefined) {
    if (handle > 0) locks.through(known, handle);
    return known;
  }
  if (locks.full) return E.ENOLCK;
  const result = reach.stat(node);
  if (result < 0) return -result;
  // Clients have nothing else open, and opening a device may do who knows what.
  if ((mode() & FileType.MASK) !== FileType.REGULAR) return E.EINVAL;
  let fd = reach.open(node, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fd = reach.open(node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  return fd < 0 ? -fd : locks.add(node, owner.high, owner.low, fd, handle);
}

/** `[node, owner, type, start, end]` → type, start, end, pid of a conflicting lock */
export function getlk(session: Session): number {
  const node = session.node();
  const key = ownerKey(session, node);
  const wanted = readRange(session);
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
  w.uint(pid > 0 ? pid : locks.holder(node, start, end));
  session.send();
  return 0;
}

/** `[node, handle, owner, type, start, end, pid, wait (0|1)]` → nothing, once locked */
export function setlk(session: Session): number {
  const node = session.node();
  const handle = session.handle();
  const key = ownerKey(session, node);
  const wanted = readRange(session);
  const pid = session.reader.uint32();
  const wait = session.reader.uint() !== 0;
  session.reader.finish();
  if (node < 0) return E.ESTALE;
  if (handle <= 0) return E.EBADF;
  const { handles, locks } = session.attached;
  if (wanted.type === Lock.UNLOCK && locks.get(key) === undefined) {
    finishSync(session, 0);
    return 0;
  }
  const opened = handles.fd[handle] as number;
  if (opened < 0 && wanted.type !== Lock.UNLOCK) return -opened;
  const file = lockFile(session, key, node, handle);
  if (typeof file === "number") return file;
  // What frees everything takes no room, and must never fail.
  const freesAll = wanted.type === Lock.UNLOCK && wanted.end === END_OF_FILE && wanted.start === 0n;
  if (!freesAll && !locks.hasRoom(file)) {
    if (file.ranges.length === 0 && file.waits === 0) locks.drop(key);
    return E.ENOLCK;
  }
  const finish = (result: number) => {
    const kept = result !== 0 || locks.note(file, { ...wanted, pid, row: NO_ROW });
    if (!kept) freeRange(file, wanted);
    const idle = file.ranges.length === 0 && file.waits === 0;
    if (idle && locks.get(key) === file) locks.drop(key);
    finishSync(session, kept ? result : -E.ENOLCK);
  };
  putFlock(scratch, wanted);
  const result = fcntlLock(file.fd, F_OFD_SETLK, scratch.address);
  if (!wait || (result !== -E.EAGAIN && result !== -E.EACCES)) {
    finish(result);
    return 0;
  }
  return waitForRange(session, file, wanted, finish);
}

/** Frees a range that the record had no room for after all. */
function freeRange(file: LockFile, range: Range): void {
  putFlock(scratch, { ...range, type: Lock.UNLOCK });
  fcntlLock(file.fd, F_OFD_SETLK, scratch.address);
}

function waitForRange(
  session: Session,
  file: LockFile,
  wanted: Range,
  finish: (result: number) => void,
): number {
  const { locks } = session.attached;
  const wish = {
    node: file.node,
    start: wanted.start,
    end: wanted.end,
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
  const { handles } = session.attached;
  const fd = handles.fd[handle] as number;
  if (fd < 0 && type !== Lock.UNLOCK) return -fd;
  const finish = (outcome: number) => {
    // One that has to wait for another type has lost what it had (flock(2)).
    handles.flock[handle] = outcome === 0 && type !== Lock.UNLOCK ? type + 1 : 0;
    finishSync(session, outcome);
  };
  const result = fd < 0 ? 0 : flock(fd, op | LOCK_NB);
  if (!wait || result !== -E.EAGAIN) {
    finish(result);
    return 0;
  }
  handles.flock[handle] = 0;
  const started = session.services.calls.startWait(session, SYS.flock, [fd, op], {
    attempt: () => flock(fd, op | LOCK_NB),
    handle,
    done: finish,
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
