/** Operations on the data of an open file. */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { lseek, pread, pwrite, SEEK_DATA, SEEK_HOLE } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { filesCanBeSent } from "../../transport/socket.ts";
import { WriteFlag } from "../../wire/constants.ts";
import { ProtocolError } from "../../wire/error.ts";
import { PAYLOAD_MAX } from "../../wire/limits.ts";
import { dropSetId, hasSetId, keepSetId, stripSetId } from "../caller.ts";
import { HandleFlag } from "../handles.ts";
import { LATER, type Session } from "../session.ts";
import { size as fileSize, statFd } from "../status.ts";
import { finishSync } from "./attributes.ts";

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
  const sendable = ((handles.flags[handle] as number) & HandleFlag.SENDABLE) !== 0;
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
  const got = pread(fd, transport.payloadRoom(), size, offset);
  if (got < 0) {
    transport.abandon();
    return -got;
  }
  transport.endInline(got);
  session.counters.moved(session.op, got);
  return 0;
}

/** `[handle, offset, flags, gid]`, payload: the data → bytes written */
export function write(session: Session): number {
  const handle = session.handle();
  const offset = session.reader.uint();
  const flags = session.reader.uint32();
  const gid = session.reader.uint32();
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  const { handles } = session.attached;
  const fd = handles.fd[handle] as number;
  if (fd < 0) return -fd;
  const { payloadAddress, payloadLength } = session.transport;
  const kill = (flags & WriteFlag.KILL_SUIDGID) !== 0;
  const handleFlags = handles.flags[handle] as number;
  const misplaced = (handleFlags & HandleFlag.APPEND) !== 0 && !endsAt(fd, offset);
  const clears = kill && hasSetId(fd);
  if (kill) dropSetId(gid);
  const wrote = pwrite(fd, payloadAddress, payloadLength, offset);
  if (kill) keepSetId();
  const node = handles.node[handle] as number;
  if (clears) session.attached.watched.attributesChanged(node);
  if (wrote < 0) return -wrote;
  // The client's page cache has the data where it thought the end was.
  if (misplaced) session.attached.watched.dataChanged(node);
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

/** Whether the file ends at `offset`. */
function endsAt(fd: number, offset: number): boolean {
  return statFd(fd) === 0 && fileSize() === offset;
}

function syncThenReply(session: Session, handle: number, dataOnly: boolean, wrote: number): number {
  const fd = session.attached.handles.fd[handle] as number;
  session.services.calls.start(session, dataOnly ? SYS.fdatasync : SYS.fsync, [fd], {
    handle,
    done: (result) => {
      if (result < 0) {
        session.fail(-result);
        return;
      }
      session.reply(1).uint(wrote);
      session.send();
    },
  });
  return LATER;
}

/** Clears set-id bits before a call that writes, and tells the client, whose kernel does not know. */
function strip(session: Session, handle: number): void {
  const { handles, watched } = session.attached;
  if (!stripSetId(handles.fd[handle] as number)) return;
  watched.attributesChanged(handles.node[handle] as number);
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

/** `[handle, mode (linux/falloc.h), offset, length, kill (0|1)]` → nothing */
export function fallocateOp(session: Session): number {
  const handle = session.handle();
  const mode = session.reader.uint32();
  const offset = session.reader.uint();
  const length = session.reader.uint();
  const kill = session.reader.uint() !== 0;
  session.reader.finish();
  if (handle <= 0) return E.EBADF;
  const { handles } = session.attached;
  const fd = handles.fd[handle] as number;
  if (fd < 0) return -fd;
  if (kill) strip(session, handle);
  handles.flags[handle] = (handles.flags[handle] as number) | HandleFlag.WROTE;
  session.services.calls.start(session, SYS.fallocate, [fd, mode, offset, length], {
    handle,
    done: (result) => finishSync(session, result),
  });
  return LATER;
}

/** `[handleIn, offsetIn, handleOut, offsetOut, length, kill (0|1)]` → bytes copied */
export function copyRange(session: Session): number {
  const from = session.handle();
  const fromOffset = session.reader.uint();
  const to = session.handle();
  const toOffset = session.reader.uint();
  const length = session.reader.uint();
  const kill = session.reader.uint() !== 0;
  session.reader.finish();
  if (from <= 0 || to <= 0) return E.EBADF;
  const { handles } = session.attached;
  const fds = [handles.fd[from] as number, handles.fd[to] as number] as const;
  if (fds[0] < 0 || fds[1] < 0) return -Math.min(...fds);
  if (kill) strip(session, to);
  handles.flags[to] = (handles.flags[to] as number) | HandleFlag.WROTE;
  // The call reads both offsets from memory that must outlive this request.
  const offsets = allocate(16);
  put64(offsets.view, 0, fromOffset);
  put64(offsets.view, 8, toOffset);
  session.services.calls.start(
    session,
    SYS.copy_file_range,
    [fds[0], offsets.address, fds[1], offsets.address + 8, Math.min(length, COPY_MAX), 0],
    {
      handle: to,
      alsoHandle: from,
      frees: offsets,
      done: (result) => {
        if (result < 0) {
          session.fail(-result);
          return;
        }
        session.reply(1).uint(result);
        session.send();
      },
    },
  );
  return LATER;
}

/** Longest single copy: the largest count a system call takes (MAX_RW_COUNT). */
const COPY_MAX = 0x7fff_f000;

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
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
