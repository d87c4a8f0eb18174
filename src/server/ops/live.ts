/**
 * Reading and writing files of the kernel, as who opened them. Each call is one call on
 * the HOST's open file: what a seq_file or an attribute makes of it is its affair.
 */
import { SYS } from "../../sys/arch.ts";
import { E } from "../../sys/errno.ts";
import { lseek, pread, pwrite, read, SEEK_SET, write } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { POLLFD, POLLFD_STRUCT_SIZE, POLLIN } from "../../sys/poll.ts";
import { OpenFlag } from "../../wire/constants.ts";
import { becomeCaller, endCaller } from "../asker.ts";
import type { HandleTable } from "../handles.ts";
import { LATER, type Session } from "../session.ts";

/** pread(2) through `handle`, or read(2) where the file has no places: bytes or -errno. */
export function readLive(
  handles: HandleTable,
  handle: number,
  address: number,
  size: number,
  offset: number,
): number {
  const fd = handles.fd[handle] as number;
  const uid = handles.uid[handle] as number;
  becomeCaller(uid, handles.gid[handle] as number);
  let got = pread(fd, address, size, offset);
  if (got === -E.ESPIPE) got = read(fd, address, size);
  endCaller(uid);
  return got;
}

/**
 * Answers the READ being served, of a live file that has nothing to read now, once it
 * has, if that is what its opener wants: files are opened without waiting here.
 * EAGAIN, also where there are too many such waits, or LATER.
 */
export function readLater(session: Session, handle: number, size: number, offset: number): number {
  const { handles } = session.attached;
  if ((handles.openFlags(handle) & OpenFlag.NONBLOCK) !== 0) return E.EAGAIN;
  const { calls, polls } = session.services;
  const fd = handles.fd[handle] as number;
  // The kernel says that a file which knows no waiting is ready, and would be asked for ever.
  if (polls.now(fd, POLLIN) !== 0) return E.EAGAIN;
  const region = allocate(POLLFD_STRUCT_SIZE);
  region.view.setInt32(POLLFD.fd, fd, true);
  region.view.setInt16(POLLFD.events, POLLIN, true);
  const started = calls.startWait(session, SYS.ppoll, [region.address, 1, 0, 0, 0], {
    attempt: () => polls.now(fd, POLLIN) || -E.EAGAIN,
    frees: region,
    handle,
    done: (result) => answerRead(session, handle, size, offset, result),
  });
  return started ? LATER : E.EAGAIN;
}

/** Reads what the wait was for, which ended with `waited`. */
function answerRead(
  session: Session,
  handle: number,
  size: number,
  offset: number,
  waited: number,
): void {
  const { attached, counters, transport } = session;
  if (waited < 0) {
    session.fail(-waited);
    return;
  }
  session.reply(0);
  const got = readLive(attached.handles, handle, transport.payloadRoom(), size, offset);
  if (got >= 0) {
    transport.endInline(got);
    counters.moved(session.op, got);
    return;
  }
  transport.abandon();
  session.fail(-got);
}

/**
 * pwrite(2) through `handle`, or write(2) where that is refused: bytes or -errno.
 * seq_open forbids it to all that goes through it, /proc/PID/uid_map and comm too.
 */
export function writeLive(
  handles: HandleTable,
  handle: number,
  address: number,
  size: number,
  offset: number,
): number {
  const fd = handles.fd[handle] as number;
  const uid = handles.uid[handle] as number;
  becomeCaller(uid, handles.gid[handle] as number);
  let wrote = pwrite(fd, address, size, offset);
  if (wrote === -E.ESPIPE) {
    // Without an effect where the file has no places.
    lseek(fd, offset, SEEK_SET);
    wrote = write(fd, address, size);
  }
  endCaller(uid);
  return wrote;
}
