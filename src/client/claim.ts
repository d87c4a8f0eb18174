/**
 * One process at a time serves a mount. Two may come to take it over: one that was killed
 * while it did so may leave the keeper it had, and the one it had just started.
 */
import { E } from "../sys/errno.ts";
import {
  F_GETLK,
  F_SETLK,
  F_UNLCK,
  F_WRLCK,
  FLOCK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
} from "../sys/lock.ts";
import { allocate } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { pidfdOpen } from "../sys/process.ts";

const lock = allocate(FLOCK_STRUCT_SIZE);

/**
 * Makes this process the one that serves the mount whose record is `recordFd`: it has a lock
 * there until it ends, of the kind that belongs to processes (fcntl(2): F_SETLK), so no keeper has
 * it. Waits at most `boundMs` for the end of the one that has it; false if that goes on.
 */
export function claimMount(recordFd: number, boundMs: number): boolean {
  const endMs = performance.now() + boundMs;
  while (true) {
    const result = ask(recordFd, F_SETLK);
    if (result !== -E.EAGAIN && result !== -E.EACCES) return result === 0;
    const leftMs = endMs - performance.now();
    if (leftMs <= 0 || ask(recordFd, F_GETLK) !== 0) return false;
    const hasGone = lock.view.getInt16(FLOCK.type, true) === F_UNLCK;
    if (!hasGone && !waitForEnd(lock.view.getInt32(FLOCK.pid, true), leftMs)) return false;
  }
}

/** fcntl(2) about a lock on the record's first byte. */
function ask(recordFd: number, command: number): number {
  lock.bytes.fill(0);
  lock.view.setInt16(FLOCK.type, F_WRLCK, true);
  lock.view.setBigInt64(FLOCK.len, 1n, true);
  return fcntlLock(recordFd, command, lock.address);
}

/** Waits for the end of process `pid`; false where it cannot be waited for, or goes on. */
function waitForEnd(pid: number, boundMs: number): boolean {
  // Of another PID namespace.
  if (pid <= 0) return false;
  const fd = pidfdOpen(pid);
  if (fd < 0) return fd === -E.ESRCH;
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  const ended = polls.wait(Math.ceil(boundMs)) > 0;
  close(fd);
  return ended;
}
