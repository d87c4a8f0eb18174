/** What both ends of a FIFO's stream do with a pipe: all of it without waiting. */
import { E } from "../sys/errno.ts";
import { read, write } from "../sys/io.ts";
import { ioctl } from "../sys/ioctl.ts";
import { allocate } from "../sys/memory.ts";
import { F_GETPIPE_SZ, F_SETPIPE_SZ, fcntlInt } from "../sys/open.ts";
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

/** One byte, 0 at the end, or -errno; the byte itself is the result's second. */
export function takeOne(fd: number): [result: number, byte: Uint8Array] {
  const got = read(fd, chunk.address, 1);
  return [got, new Uint8Array(chunk.bytes.subarray(0, Math.max(got, 0)))];
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
