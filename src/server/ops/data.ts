/** Operations on the data of an open file. */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { lseek, pread, pwrite, SEEK_DATA, SEEK_HOLE } from "../../sys/io.ts";
import { filesCanBeSent } from "../../transport/socket.ts";
import { WriteFlag } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PAYLOAD_MAX } from "../../wire/limits.ts";
import { dropSetId, hasSetId, keepSetId } from "../caller.ts";
import { HandleFlag, type HandleTable } from "../handles.ts";
import { LATER, type Session } from "../session.ts";
import { size as fileSize, statFd } from "../status.ts";
import { placeAppend } from "./appends.ts";
import { finishSync } from "./attributes.ts";
import { readDevice, writeDevice } from "./devices.ts";
import { readLater, readLive, writeLive } from "./live.ts";
import { syncThenReply } from "./syncing.ts";

/** From here on a READ leaves the file by sendfile(2), without a copy of ours. */
const SENDFILE_MIN = 128 * 1024;

/** `[handle, offset, size]` → nothing; payload: the data, shorter only at the end */
export function read(session: Session): number {
  const handle = session.handle();
  const offset = session.reader.uint();
  const size = session.reader.uint32();
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  if (size > PAYLOAD_MAX) throw new ProtocolError(`READ of ${size} bytes`);
  const { handles } = session.attached;
  const fd = handles.fd[handle] as number;
  if (fd < 0) return -fd;
  const { transport } = session;
  const handleFlags = handles.flags[handle] as number;
  if ((handleFlags & HandleFlag.DEVICE) !== 0) return readDevice(session, handle, offset, size);
  const sendable = (handleFlags & HandleFlag.SENDABLE) !== 0;
  if (size >= SENDFILE_MIN && sendable && filesCanBeSent() && statFd(fd) === 0) {
    const length = Math.min(size, fileSize() - offset);
    if (length >= SENDFILE_MIN) {
      session.reply(0);
      transport.endWithFile(fd, offset, length);
      session.counters.moved(session.op, length);
      return 0;
    }
  }
  session.reply(0);
  const room = transport.payloadRoom();
  const live = isLive(handles, handle);
  const got = live ? readLive(handles, handle, room, size, offset) : pread(fd, room, size, offset);
  if (live) session.services.polls.read(session, handle);
  if (got < 0) {
    transport.abandon();
    return live && got === -E.EAGAIN ? readLater(session, handle, size, offset) : -got;
  }
  transport.endInline(got);
  session.counters.moved(session.op, got);
  return 0;
}

/** Whether a file of the kernel's is open. */
function isLive(handles: HandleTable, handle: number): boolean {
  return ((handles.flags[handle] as number) & HandleFlag.LIVE) !== 0;
}

/** A write at an offset may run twice. */
const NOT_APPENDED = { place: 0, there: 0 } as const;

/** `[handle, offset, flags, gid]`, payload: the data → bytes written */
export function write(session: Session): number {
  const handle = session.handle();
  const offset = session.reader.uint();
  const flags = session.reader.uint32();
  const gid = session.reader.uint32();
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  const { ahead, attached } = session;
  const { handles } = attached;
  const fd = handles.fd[handle] as number;
  if (fd < 0) return -fd;
  const { payloadAddress, payloadLength } = session.transport;
  const handleFlags = handles.flags[handle] as number;
  if ((handleFlags & HandleFlag.DEVICE) !== 0) return writeDevice(session, handle, offset);
  const kill = (flags & WriteFlag.KILL_SUIDGID) !== 0;
  const live = isLive(handles, handle);
  const appends = (handleFlags & HandleFlag.APPEND) !== 0 && !live;
  const { place, there } = appends ? placeAppend(session, fd) : NOT_APPENDED;
  const clears = kill && hasSetId(fd);
  if (kill) dropSetId(gid);
  // A file that takes no more is asked once more for the rest, and says why.
  const done = there + ahead.take(session);
  const left = payloadLength - done;
  const from = payloadAddress + done;
  let more = 0;
  if (live) more = writeLive(handles, handle, from, left, offset);
  else if (done === 0 || left > 0) more = pwrite(fd, from, left, offset + done - there);
  if (kill) keepSetId();
  const node = handles.node[handle] as number;
  if (clears) session.attached.watched.attributesChanged(node);
  if (more < 0 && done === 0) return -more;
  const wrote = done + Math.max(more, 0);
  // The client's page cache has the data where it thought the end was.
  if (appends && place !== offset) session.attached.watched.dataChanged(node);
  handles.flags[handle] = handleFlags | HandleFlag.WROTE;
  session.counters.moved(session.op, wrote);
  if ((handleFlags & (HandleFlag.SYNC | HandleFlag.DSYNC)) !== 0) {
    return syncThenReply(session, handle, (handleFlags & HandleFlag.SYNC) === 0, wrote);
  }
  const w = session.reply(1);
  w.uint(wrote);
  session.send();
  return 0;
}

/** `[handle, dataOnly (0|1)]` → nothing, once the data is on the disk */
export function fsyncOp(session: Session): number {
  const handle = session.handle();
  const dataOnly = session.reader.uint() !== 0;
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  const fd = session.attached.handles.fd[handle] as number;
  if (fd < 0) return -fd;
  session.services.calls.start(session, dataOnly ? SYS.fdatasync : SYS.fsync, [fd], {
    handle,
    done: (result) => finishSync(session, result),
  });
  return LATER;
}

/** `[handle, offset, whence (SEEK_DATA or SEEK_HOLE)]` → offset */
export function seek(session: Session): number {
  const handle = session.handle();
  const offset = session.reader.uint();
  const whence = session.reader.uint32();
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return E.EINVAL;
  const fd = session.attached.handles.fd[handle] as number;
  if (fd < 0) return -fd;
  const result = lseek(fd, offset, whence);
  if (result < 0) return -result;
  session.reply(1).uint(result);
  session.send();
  return 0;
}
