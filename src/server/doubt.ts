/**
 * Requests in doubt: the process that had begun one was killed, and nobody knows
 * whether its system call was made. The client sends it again (serving.ts), and its
 * effect must be there once.
 *
 * | operation | told by |
 * | --- | --- |
 * | OPEN, SETATTR, WRITE at an offset, locks, IOCTL … | nothing: run again, the outcome is the same |
 * | PROCESS: a signal | noted once it was sent |
 * | UMOUNT with EXPIRE | nothing, and it must not run again: EIO |
 * | READ, WRITE of a device | nothing: a device is not opened again, its handle is ESTALE (recovery.ts) |
 * | UNLINK, RMDIR | the inode noted before is no longer there by that name |
 * | RENAME | the inode noted before has left its name, and has the new one or nothing has the old |
 * | MKDIR, MKNOD, SYMLINK, CREATE, SOCKET_BIND | what is there is as it would be made, and born since the request began |
 * | LINK, SETXATTR with CREATE, REMOVEXATTR | what is there is as wanted, and changed since the request began |
 * | WRITE to the end | the data is behind the size noted before |
 * | MOUNT, UMOUNT | the mount at its target is another than the one noted before |
 * | FALLOCATE that moves data | the size is what was noted before, and the length |
 *
 * An operation notes one number in its slot: before it acts what tells afterwards
 * whether it has acted, or, after it, that it has.
 */
import type { Identity } from "./nodes.ts";
import type { Session } from "./session.ts";
import { birthTimeNs, changeTimeNs } from "./status.ts";

/** What `noted` gives where nothing was noted; not to be noted itself by who tells it apart. */
export const NOTHING = -1;
const DONE = 1;

/**
 * The kernel gives files the time of its last timer tick (ktime_get_coarse_real_ts64):
 * at 100 ticks a second, 10 ms before a request that we saw begin.
 */
const TICK_NS = 10e6;
/** File systems that keep whole seconds: two of them at most (FAT). */
const COARSE_NS = 2e9;
const NS_PER_S = 1e9;

const TWO_32 = 0x1_0000_0000;
const HIGH_BITS = 0xf_ffff;
const MIX = 0x9e3779b1;

/** Notes `value` for a repetition of the request being served. */
export function note(session: Session, value: number): void {
  session.note(value);
}

/** What the first run of the request being served has noted, or NOTHING. */
export function noted(session: Session): number {
  return session.slots.noted(session.slot);
}

/** The request being served has made its system call, with success. */
export function noteDone(session: Session): void {
  note(session, DONE);
}

/** Whether an earlier run of the request being served has come to `noteDone`. */
export function isDone(session: Session): boolean {
  return session.doubtSinceNs !== 0 && noted(session) === DONE;
}

/** An inode as a number to be noted: another inode is another one, but for once in 2^20 of reused numbers. */
export function fingerprint(id: Identity): number {
  const rest = Math.imul(id.inoHigh, MIX) ^ Math.imul(id.device, MIX) ^ id.birth ^ id.birthNs;
  return id.inoLow + TWO_32 * (rest & HIGH_BITS);
}

/** Whether what was described last may have been made by the request in doubt. */
export function isBornSince(session: Session): boolean {
  return isSince(session, birthTimeNs());
}

/** Whether what was described last may have been changed by the request in doubt. */
export function isChangedSince(session: Session): boolean {
  return isSince(session, changeTimeNs());
}

function isSince(session: Session, timeNs: number): boolean {
  const slackNs = timeNs % NS_PER_S === 0 ? COARSE_NS : TICK_NS;
  return timeNs >= session.doubtSinceNs - slackNs;
}

/** Closes the handle that an earlier run of the request in doubt made for nobody. */
export function releaseNoted(session: Session): void {
  const handle = noted(session);
  const tree = session.attached;
  if (tree.handles.has(handle)) tree.release(handle);
  note(session, NOTHING);
}
