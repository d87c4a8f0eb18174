/** Operations on ranges of open files: reserving, moving and copying, in threads of their own. */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { stripSetId } from "../caller.ts";
import { NOTHING, note, noted } from "../doubt.ts";
import { HandleFlag } from "../handles.ts";
import { LATER, type Session } from "../session.ts";
import { size, statFd } from "../status.ts";
import { finishSync } from "./attributes.ts";

/** Modes of fallocate(2) that move data: run twice they would move it twice. */
const MOVES_DATA = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;

/** Longest single copy: the largest count a system call takes (MAX_RW_COUNT). */
const COPY_MAX = 0x7fff_f000;

/** Clears set-id bits before a call that writes, and tells the client, whose kernel does not know. */
function strip(session: Session, handle: number): void {
  const { handles, watched } = session.attached;
  if (!stripSetId(handles.fd[handle] as number)) return;
  watched.attributesChanged(handles.node[handle] as number);
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
  const moved = (mode & MOVES_DATA) === 0 ? 0 : noteMove(session, fd, mode, length);
  if (moved < 0) return -moved;
  if (kill) strip(session, handle);
  handles.flags[handle] = (handles.flags[handle] as number) | HandleFlag.WROTE;
  if (moved > 0) {
    finishSync(session, 0);
    return 0;
  }
  session.services.calls.start(session, SYS.fallocate, [fd, mode, offset, length], {
    handle,
    done: (result) => finishSync(session, result),
  });
  return LATER;
}

/**
 * Notes the size of a file whose data is about to be moved; 1 if an earlier run of
 * the request in doubt has moved it, 0 if not, -errno otherwise: EIO where others
 * have changed the size too, and nobody can tell.
 */
function noteMove(session: Session, fd: number, mode: number, length: number): number {
  const result = statFd(fd);
  if (result < 0) return result;
  const before = session.doubtSinceNs === 0 ? NOTHING : noted(session);
  const now = size();
  if (before !== NOTHING && now !== before) {
    const change = (mode & FALLOC_FL_COLLAPSE_RANGE) === 0 ? length : -length;
    return now === before + change ? 1 : -E.EIO;
  }
  note(session, now);
  return 0;
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
  let most = Math.min(length, COPY_MAX);
  // Within one file the copy may lengthen what is copied from.
  const within = handles.node[from] === handles.node[to];
  if (within) most = atFirst(session, fds[0], fromOffset, most);
  if (kill) strip(session, to);
  handles.flags[to] = (handles.flags[to] as number) | HandleFlag.WROTE;
  // The call reads both offsets from memory that must outlive this request.
  const offsets = allocate(16);
  put64(offsets.view, 0, fromOffset);
  put64(offsets.view, 8, toOffset);
  session.services.calls.start(
    session,
    SYS.copy_file_range,
    [fds[0], offsets.address, fds[1], offsets.address + 8, most, 0],
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

/** How many of `most` bytes from `offset` on the file had when the request first ran. */
function atFirst(session: Session, fd: number, offset: number, most: number): number {
  const before = session.doubtSinceNs === 0 ? NOTHING : noted(session);
  if (before !== NOTHING) return Math.max(0, Math.min(most, before - offset));
  if (statFd(fd) === 0) note(session, size());
  return most;
}

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}
