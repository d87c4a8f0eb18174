/** Descriptors over unix sockets (SCM_RIGHTS, unix(7)). For control traffic, not for hot paths. */
import { E } from "./errno.ts";
import { addr, i32, i64, libc, orErrno } from "./libc.ts";
import { allocate, getWord64, putWord64 } from "./memory.ts";
import { SOL_SOCKET } from "./sockopt.ts";

const c = libc({
  sendmsg: { args: [i32, addr, i32], returns: i64 },
  recvmsg: { args: [i32, addr, i32], returns: i64 },
});

// bits/socket.h of the C library
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_CMSG_CLOEXEC = 0x40000000;
export const SCM_RIGHTS = 1;

/** The most descriptors of one message (include/net/scm.h of the kernel). */
export const SCM_MAX_FD = 253;

/** struct msghdr on 64-bit machines; namelen is u32, flags i32, the others 64 bits. */
export const MSGHDR = {
  name: 0,
  namelen: 8,
  iov: 16,
  iovlen: 24,
  control: 32,
  controllen: 40,
  flags: 48,
} as const;
export const MSGHDR_STRUCT_SIZE = 56;

/** struct cmsghdr: len u64 (header and data), level i32, type i32, then the data. */
export const CMSGHDR = { len: 0, level: 8, type: 12, data: 16 } as const;

/** struct iovec (io.ts) follows the header in the scratch region, then the control data. */
const IOVEC_OFFSET = MSGHDR_STRUCT_SIZE;
const CONTROL_OFFSET = IOVEC_OFFSET + 16;
const scratch = allocate(CONTROL_OFFSET + CMSGHDR.data + SCM_MAX_FD * 4 + 4);

function prepare(address: number, n: number, controlBytes: number): void {
  const { words } = scratch;
  words.fill(0);
  putWord64(words, MSGHDR.iov / 4, scratch.address + IOVEC_OFFSET);
  putWord64(words, MSGHDR.iovlen / 4, 1);
  putWord64(words, IOVEC_OFFSET / 4, address);
  putWord64(words, IOVEC_OFFSET / 4 + 2, n);
  if (controlBytes === 0) return;
  putWord64(words, MSGHDR.control / 4, scratch.address + CONTROL_OFFSET);
  putWord64(words, MSGHDR.controllen / 4, controlBytes);
}

/**
 * Sends `n` bytes at `address` and the descriptors with them. At least one
 * byte is needed on a stream. Returns bytes sent or -errno; waits for room only
 * if `flags` lacks MSG_DONTWAIT.
 */
export function sendFds(
  fd: number,
  address: number,
  n: number,
  fds: readonly number[],
  flags = MSG_DONTWAIT,
): number {
  if (fds.length > SCM_MAX_FD) return -E.EINVAL;
  const length = fds.length === 0 ? 0 : CMSGHDR.data + fds.length * 4;
  prepare(address, n, length);
  if (length > 0) {
    putWord64(scratch.words, (CONTROL_OFFSET + CMSGHDR.len) / 4, length);
    scratch.view.setInt32(CONTROL_OFFSET + CMSGHDR.level, SOL_SOCKET, true);
    scratch.view.setInt32(CONTROL_OFFSET + CMSGHDR.type, SCM_RIGHTS, true);
    for (const [i, one] of fds.entries()) {
      scratch.view.setInt32(CONTROL_OFFSET + CMSGHDR.data + i * 4, one, true);
    }
  }
  return orErrno(c.sendmsg(fd, scratch.address, MSG_NOSIGNAL | flags));
}

/**
 * Receives up to `n` bytes to `address` and up to `max` descriptors, which
 * close on exec; the kernel closes those beyond `max`. Never blocks; `n` of
 * the result is bytes (0: the peer has shut down) or -errno.
 */
export function recvFds(
  fd: number,
  address: number,
  n: number,
  max: number,
): { n: number; fds: number[] } {
  // Not CMSG_SPACE: its padding would let one descriptor more in than asked for.
  const room = max === 0 ? 0 : CMSGHDR.data + Math.min(max, SCM_MAX_FD) * 4;
  prepare(address, n, room);
  const result = orErrno(c.recvmsg(fd, scratch.address, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
  return { n: result, fds: result < 0 ? [] : receivedFds() };
}

function receivedFds(): number[] {
  const { view, words } = scratch;
  const used = getWord64(words, MSGHDR.controllen / 4);
  if (used < CMSGHDR.data) return [];
  const isRights =
    view.getInt32(CONTROL_OFFSET + CMSGHDR.level, true) === SOL_SOCKET &&
    view.getInt32(CONTROL_OFFSET + CMSGHDR.type, true) === SCM_RIGHTS;
  if (!isRights) return [];
  const length = getWord64(words, (CONTROL_OFFSET + CMSGHDR.len) / 4);
  const fds: number[] = [];
  for (let at = CMSGHDR.data; at + 4 <= length; at += 4) {
    fds.push(view.getInt32(CONTROL_OFFSET + at, true));
  }
  return fds;
}
