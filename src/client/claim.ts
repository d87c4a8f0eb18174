/**
 * One process at a time serves a mount. Two may come to take it over: one that was killed
 * while it did so may leave the keeper it had, and the one it had just started.
 */
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import {
  F_OFD_GETLK,
  F_OFD_SETLK,
  F_UNLCK,
  F_WRLCK,
  FLOCK,
  FLOCK_STRUCT_SIZE,
  fcntlLock,
} from "../sys/lock.ts";
import { allocate } from "../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_RDWR, openat } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { pidfdOpen } from "../sys/process.ts";

const lock = allocate(FLOCK_STRUCT_SIZE);
/** The byte that who serves has locked, and the one from which on it locks that of its number. */
const SERVES = 0;
const PROCESSES = 1;
/** Waits for nothing. */
const moment = new PollSet(1);
/** What this process has claimed: a descriptor for each record. */
const claims = new Map<number, number>();

/**
 * Makes this process the one that serves the mount whose record is `recordFd`, until it ends.
 * Waits at most `boundMs` for the end of the one that does; false if that goes on.
 *
 * The locks are of a description that this process alone has. Those of F_SETLK would be lost
 * as soon as any descriptor of the record is closed (fcntl(2)), a copy of Bun.spawn's, say.
 */
export function claimMount(recordFd: number, boundMs: number): boolean {
  if (claims.has(recordFd)) return true;
  const fd = openat(AT_FDCWD, cstring(`/proc/self/fd/${recordFd}`), O_RDWR | O_CLOEXEC, 0);
  if (fd < 0) return false;
  const isOurs = claim(fd, performance.now() + boundMs);
  if (isOurs) claims.set(recordFd, fd);
  else close(fd);
  return isOurs;
}

function claim(fd: number, endMs: number): boolean {
  while (true) {
    const result = ask(fd, F_OFD_SETLK, SERVES, 1);
    if (result === 0) return ask(fd, F_OFD_SETLK, PROCESSES + process.pid, 1) === 0;
    if (result !== -E.EAGAIN && result !== -E.EACCES) return false;
    const leftMs = endMs - performance.now();
    if (leftMs <= 0 || ask(fd, F_OFD_GETLK, PROCESSES, 0) !== 0) return false;
    // Otherwise it has ended meanwhile, or is just about to say who it is.
    const isLocked = lock.view.getInt16(FLOCK.type, true) !== F_UNLCK;
    const pid = Number(lock.view.getBigInt64(FLOCK.start, true)) - PROCESSES;
    if (!isLocked) moment.wait(1);
    else if (!waitForEnd(pid, leftMs)) return false;
  }
}

/** fcntl(2) about a lock on `length` bytes from `start` on; 0: all. */
function ask(fd: number, command: number, start: number, length: number): number {
  lock.bytes.fill(0);
  lock.view.setInt16(FLOCK.type, F_WRLCK, true);
  lock.view.setBigInt64(FLOCK.start, BigInt(start), true);
  lock.view.setBigInt64(FLOCK.len, BigInt(length), true);
  return fcntlLock(fd, command, lock.address);
}

/** Waits for the end of process `pid`; false where it cannot be waited for, or goes on. */
function waitForEnd(pid: number, boundMs: number): boolean {
  const fd = pidfdOpen(pid);
  if (fd < 0) {
    moment.wait(1);
    return fd === -E.ESRCH;
  }
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  const ended = polls.wait(Math.ceil(boundMs)) > 0;
  close(fd);
  return ended;
}
