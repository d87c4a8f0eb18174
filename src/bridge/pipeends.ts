/** What both ends of a FIFO's stream do with a pipe: all of it without waiting. */
import { E } from "../sys/errno.ts";
import { pipe2, read, SPLICE_F_NONBLOCK, tee, write } from "../sys/io.ts";
import { ioctl } from "../sys/ioctl.ts";
import { allocate } from "../sys/memory.ts";
import { F_GETPIPE_SZ, F_SETPIPE_SZ, fcntlInt, O_CLOEXEC, O_NONBLOCK } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";

/** asm-generic/ioctls.h */
export const FIONREAD = 0x541b;
const CHUNK_BYTES = 64 * 1024;
const chunk = allocate(CHUNK_BYTES);
const word = allocate(8);
const set = new PollSet(1);

/** Bytes in the pipe that nobody has read yet. */
export function unread(fd: number): number {
  return ioctl(fd, FIONREAD, word.address) < 0 ? 0 : word.view.getInt32(0, true);
}

/** POLL* bits of `fd` now. */
export function pollNow(fd: number): number {
  set.clear();
  const index = set.add(fd, POLLIN);
  return set.wait(0) > 0 ? set.revents(index) : 0;
}

/** Takes all that is in the pipe. */
export function takeAll(fd: number): Uint8Array[] {
  const taken: Uint8Array[] = [];
  for (;;) {
    const got = read(fd, chunk.address, chunk.size);
    if (got === -E.EINTR) continue;
    if (got <= 0) return taken;
    taken.push(new Uint8Array(chunk.bytes.subarray(0, got)));
  }
}

/**
 * Whether anybody has the pipe of read end `fd` open for writing; undefined where data in it
 * hides that. Nothing is taken, and nobody sees the look: tee(2) finds the end as read(2)
 * would (ipipe_prep in fs/splice.c).
 */
export function hasWriters(fd: number): boolean | undefined {
  spare ??= makeSpare();
  const got = tee(fd, spare.write, 1, SPLICE_F_NONBLOCK);
  if (got === 0) return false;
  if (got < 0) return true;
  read(spare.read, chunk.address, 1);
  return undefined;
}

/** A pipe that what is looked at goes through. */
let spare: { read: number; write: number } | undefined;

function makeSpare(): { read: number; write: number } {
  const ends = pipe2(O_CLOEXEC | O_NONBLOCK);
  if (typeof ends === "number") throw new Error(`Cannot make a pipe: errno ${-ends}`);
  return { read: ends[0], write: ends[1] };
}

/** Puts `parts` into an empty pipe, made larger if they need it; how many bytes found no room. */
export function putAll(fd: number, parts: readonly Uint8Array[]): number {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  if (total > fcntlInt(fd, F_GETPIPE_SZ)) fcntlInt(fd, F_SETPIPE_SZ, total);
  let left = total;
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const length = Math.min(part.length - at, CHUNK_BYTES);
      chunk.bytes.set(part.subarray(at, at + length));
      const wrote = write(fd, chunk.address, length);
      if (wrote === -E.EINTR) continue;
      if (wrote <= 0) return left;
      at += wrote;
      left -= wrote;
    }
  }
  return 0;
}
