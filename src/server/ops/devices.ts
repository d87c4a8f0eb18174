/**
 * Devices of the HOST, where the export allows the class device. A driver may let every
 * call wait, whatever it was told: each runs in a thread. A device is opened not to wait
 * (O_NONBLOCK), and what has nothing to read is waited for in the reactor's poll set.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { lseek, SEEK_CUR } from "../../sys/io.ts";
import { allocate, free, type Region } from "../../sys/memory.ts";
import { AT_FDCWD, close, O_NONBLOCK, O_PATH } from "../../sys/open.ts";
import { POLLIN, POLLOUT } from "../../sys/poll.ts";
import { FileType, OpenFlag, OpenResult, StreamFlag } from "../../wire/constants.ts";
import { note } from "../doubt.ts";
import { HandleFlag } from "../handles.ts";
import { hostFlags } from "../hostflags.ts";
import { LATER, type Session } from "../session.ts";
import { identify, mode, statFd } from "../status.ts";
import { syncThenReply } from "./syncing.ts";

const PATH_BYTES = 64;
/** Data of a stream that is kept for a repetition; a terminal gives 4 KiB at a time. */
const TAKEN_MAX = 64 * 1024;

/** Whether `mode` is that of a device. */
export function isDevice(mode: number): boolean {
  const type = mode & FileType.MASK;
  return type === FileType.CHARACTER || type === FileType.BLOCK;
}

/** OPEN of the device of `row`; an errno, or LATER. */
export function openDevice(session: Session, row: number, flags: number): number {
  const { allow, reach } = session.attached;
  // As where devices cannot be opened (mount(8): nodev).
  if (!allow.includes("device")) return E.EACCES;
  // Anew by its name where it can be: a terminal's inode number is soon another terminal's.
  const at = reach.open(row, O_PATH);
  if (at < 0) return -at;
  const memory = allocate(PATH_BYTES);
  memory.bytes.latin1Write(`/proc/self/fd/${at}`, 0);
  const host = hostFlags(flags) | O_NONBLOCK;
  session.services.calls.start(session, SYS.openat, [AT_FDCWD, memory.address, host, 0], {
    closes: at,
    frees: memory,
    done: (fd) => {
      const errno = fd < 0 ? -fd : replyOpened(session, row, flags, fd);
      if (errno !== 0) session.fail(errno);
    },
  });
  return LATER;
}

function replyOpened(session: Session, row: number, flags: number, fd: number): number {
  const { handles, nodes } = session.attached;
  // The client may have forgotten it while it was being opened.
  const isKnown = (nodes.lookups[row] as number) > 0;
  const isIt = isKnown && statFd(fd) === 0 && nodes.matches(row, identify()) && isDevice(mode());
  if (!isIt) {
    close(fd);
    return E.ESTALE;
  }
  const isStream = lseek(fd, 0, SEEK_CUR) === -E.ESPIPE;
  const written = (flags & OpenFlag.WRITE) !== 0 ? HandleFlag.WRITABLE : 0;
  const kind = HandleFlag.DEVICE | (isStream ? HandleFlag.STREAM : 0);
  const handle = handles.add(fd, row, kind | written | syncs(flags), flags);
  if (handle < 0) {
    close(fd);
    return E.ENFILE;
  }
  note(session, handle);
  const w = session.reply(2);
  w.uint(handles.number(handle));
  w.uint(OpenResult.UNSIZED | (isStream ? OpenResult.STREAM : 0));
  session.send();
  return 0;
}

function syncs(flags: number): number {
  if ((flags & OpenFlag.SYNC) !== 0) return HandleFlag.SYNC;
  return (flags & OpenFlag.DSYNC) !== 0 ? HandleFlag.DSYNC : 0;
}

/** A READ or WRITE that goes on until it has a result. */
interface Transfer {
  session: Session;
  handle: number;
  /** The system call, its place in the device if it has places, and its memory. */
  nr: number;
  offset: number;
  memory: Region;
  size: number;
  /** What to wait for where there is nothing, or 0 not to wait. */
  events: number;
  done(result: number): void;
}

/** READ of an open device; an errno, or LATER. */
export function readDevice(session: Session, handle: number, offset: number, size: number): number {
  const { taken } = session.attached;
  const before = taken.get(session.slot);
  if (before?.sequence === session.sequence) return replyData(session, before.data);
  const isStream = hasFlag(session, handle, HandleFlag.STREAM);
  const memory = allocate(Math.max(size, 1));
  begin({
    session,
    handle,
    nr: isStream ? SYS.read : SYS.pread64,
    offset: isStream ? 0 : offset,
    memory,
    size,
    events: waits(session, handle, offset) ? POLLIN : 0,
    done: (result) => {
      if (result < 0) {
        session.fail(-result);
        return;
      }
      const data = memory.bytes.subarray(0, result);
      if (isStream && result <= TAKEN_MAX) {
        taken.set(session.slot, { sequence: session.sequence, data: Uint8Array.from(data) });
      }
      replyData(session, data);
    },
  });
  return LATER;
}

function replyData(session: Session, data: Uint8Array): number {
  session.reply(0);
  session.transport.endCopy(data, data.length);
  session.counters.moved(session.op, data.length);
  return 0;
}

/** WRITE of an open device; an errno, or LATER. */
export function writeDevice(session: Session, handle: number, offset: number): number {
  const isStream = hasFlag(session, handle, HandleFlag.STREAM);
  const { payloadStart, payloadLength, reader } = session.transport;
  const memory = allocate(Math.max(payloadLength, 1));
  memory.bytes.set(reader.bytes.subarray(payloadStart, payloadStart + payloadLength));
  begin({
    session,
    handle,
    nr: isStream ? SYS.write : SYS.pwrite64,
    offset: isStream ? 0 : offset,
    memory,
    size: payloadLength,
    events: waits(session, handle, offset) ? POLLOUT : 0,
    done: (result) => replyWritten(session, handle, result),
  });
  return LATER;
}

function replyWritten(session: Session, handle: number, result: number): void {
  if (result < 0) {
    session.fail(-result);
    return;
  }
  session.counters.moved(session.op, result);
  if (hasFlag(session, handle, HandleFlag.SYNC | HandleFlag.DSYNC)) {
    syncThenReply(session, handle, !hasFlag(session, handle, HandleFlag.SYNC), result);
    return;
  }
  session.reply(1).uint(result);
  session.send();
}

function hasFlag(session: Session, handle: number, flags: number): boolean {
  return ((session.attached.handles.flags[handle] as number) & flags) !== 0;
}

/** Whether the caller waits: a stream's says it with each call in place of an offset. */
function waits(session: Session, handle: number, offset: number): boolean {
  const { handles } = session.attached;
  if (hasFlag(session, handle, HandleFlag.STREAM)) return (offset & StreamFlag.NONBLOCK) === 0;
  return (handles.openFlags(handle) & OpenFlag.NONBLOCK) === 0;
}

function begin(transfer: Transfer): void {
  // Released meanwhile, it stays open until the transfer has ended.
  transfer.session.attached.handles.hold(transfer.handle);
  attempt(transfer);
}

function attempt(transfer: Transfer): void {
  const { session, handle, nr, memory, size, offset, events } = transfer;
  const { calls, polls } = session.services;
  const fd = session.attached.handles.fd[handle] as number;
  const goOn = (isCancelled: boolean) => {
    if (isCancelled) end(transfer, -E.EINTR);
    else attempt(transfer);
  };
  calls.start(session, nr, [fd, memory.address, size, offset], {
    done: (result) => {
      const isWaiting =
        result === -E.EAGAIN && events !== 0 && polls.wait(session, fd, events, goOn);
      if (!isWaiting) end(transfer, result);
    },
  });
}

function end({ session, handle, memory, done }: Transfer, result: number): void {
  done(result);
  free(memory);
  session.attached.handles.unhold(handle);
}
