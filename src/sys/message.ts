/**
 * recvmsg(2) and sendmsg(2) of unix sockets with all that may travel beside the
 * data: descriptors, credentials, names (unix(7)). Nothing here waits.
 *
 * A call leaves what it found in memory of this thread's; it is good until the next.
 */
import { E } from "./errno.ts";
import { ioctl } from "./ioctl.ts";
import { addr, i32, i64, libc, orErrno } from "./libc.ts";
import { allocate, getWord64, putWord64 } from "./memory.ts";
import {
  CMSGHDR,
  MSG_CMSG_CLOEXEC,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSGHDR,
  MSGHDR_STRUCT_SIZE,
  SCM_MAX_FD,
  SCM_RIGHTS,
} from "./scm.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "./sockaddr.ts";
import { type PeerCredentials, SOL_SOCKET, UCRED, UCRED_STRUCT_SIZE } from "./sockopt.ts";

const c = libc({
  sendmsg: { args: [i32, addr, i32], returns: i64 },
  recvmsg: { args: [i32, addr, i32], returns: i64 },
});

// bits/socket.h of the C library
export const SCM_CREDENTIALS = 2;
export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_EOR = 0x80;

/** asm-generic/sockios.h: SIOCATMARK. */
const SIOCATMARK = 0x8905;

/** Data begins behind the header; each part is aligned to 8 bytes (CMSG_SPACE). */
const CREDENTIALS_SPACE = CMSGHDR.data + ((UCRED_STRUCT_SIZE + 7) & ~7);
const RIGHTS_SPACE = CMSGHDR.data + ((SCM_MAX_FD * 4 + 7) & ~7);
const CONTROL_SPACE = CREDENTIALS_SPACE + RIGHTS_SPACE;

/** Behind the header: two iovecs (io.ts), the control data, a name, and an int. */
const IOVEC_OFFSET = MSGHDR_STRUCT_SIZE;
const CONTROL_OFFSET = IOVEC_OFFSET + 32;
const NAME_OFFSET = CONTROL_OFFSET + CONTROL_SPACE;
const NAME_SPACE = (SOCKADDR_UN_STRUCT_SIZE + 7) & ~7;
const INT_OFFSET = NAME_OFFSET + NAME_SPACE;
const scratch = allocate(INT_OFFSET + 8);
const { view, words, bytes } = scratch;

putWord64(words, MSGHDR.iov / 4, scratch.address + IOVEC_OFFSET);
putWord64(words, MSGHDR.iovlen / 4, 1);
// An address where nothing is mapped (proc(5): vm.mmap_min_addr), for `piecesBefore`.
putWord64(words, IOVEC_OFFSET / 4 + 4, 1);
putWord64(words, IOVEC_OFFSET / 4 + 6, 1);

function prepare(address: number, n: number, controlBytes: number, nameBytes: number): void {
  putWord64(words, IOVEC_OFFSET / 4, address);
  putWord64(words, IOVEC_OFFSET / 4 + 2, n);
  putWord64(words, MSGHDR.control / 4, controlBytes > 0 ? scratch.address + CONTROL_OFFSET : 0);
  putWord64(words, MSGHDR.controllen / 4, controlBytes);
  putWord64(words, MSGHDR.name / 4, nameBytes > 0 ? scratch.address + NAME_OFFSET : 0);
  view.setUint32(MSGHDR.namelen, nameBytes, true);
  view.setInt32(MSGHDR.flags, 0, true);
}

function receive(fd: number, flags: number): number {
  return orErrno(c.recvmsg(fd, scratch.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags));
}

/**
 * Takes up to `n` bytes to `address`, and what is beside them: bytes (of a message
 * with MSG_TRUNC in `flags` all it had), 0 at the end, or -errno. Afterwards
 * `receivedFlags`, `receivedFds` (which close on exec), `receivedCredentials` and
 * `receivedName` say what came.
 */
export function receiveMessage(fd: number, address: number, n: number, flags = 0): number {
  prepare(address, n, CONTROL_SPACE, SOCKADDR_UN_STRUCT_SIZE);
  return receive(fd, flags);
}

/**
 * Looks at up to `n` bytes without taking them, and at the credentials beside them.
 * Descriptors stay where they are: `receivedFlags` has MSG_CTRUNC where there are any,
 * also behind these bytes. What comes behind the piece that has them is not looked at.
 */
export function peekMessage(fd: number, address: number, n: number, flags = 0): number {
  prepare(address, n, CREDENTIALS_SPACE, 0);
  return receive(fd, MSG_PEEK | flags);
}

/**
 * How many of the next `n` bytes of a STREAM socket come before the piece (of one
 * send(2)) that the last of them belongs to.
 *
 * The kernel copies a piece whole or not at all where a part of it cannot be copied
 * (skb_copy_datagram_iter), so the last byte is given no place to go to.
 */
export function piecesBefore(fd: number, address: number, n: number): number {
  prepare(address, n - 1, CREDENTIALS_SPACE, 0);
  putWord64(words, MSGHDR.iovlen / 4, 2);
  const before = receive(fd, MSG_PEEK);
  putWord64(words, MSGHDR.iovlen / 4, 1);
  return Math.max(before, 0);
}

/** MSG_* of the message received last. */
export function receivedFlags(): number {
  return view.getInt32(MSGHDR.flags, true);
}

/** Where the data of a control message of `type` lies in the scratch, and where it ends. */
function findControl(type: number): [from: number, to: number] | undefined {
  const used = getWord64(words, MSGHDR.controllen / 4);
  for (let at = 0; at + CMSGHDR.data <= used; ) {
    const from = CONTROL_OFFSET + at;
    const length = getWord64(words, (from + CMSGHDR.len) / 4);
    if (length < CMSGHDR.data) return undefined;
    const found =
      view.getInt32(from + CMSGHDR.level, true) === SOL_SOCKET &&
      view.getInt32(from + CMSGHDR.type, true) === type;
    if (found) return [from + CMSGHDR.data, from + length];
    at += (length + 7) & ~7;
  }
  return undefined;
}

/** Descriptors that came with it; they are the caller's. */
export function receivedFds(): number[] {
  const found = findControl(SCM_RIGHTS);
  const fds: number[] = [];
  if (found === undefined) return fds;
  for (let at = found[0]; at + 4 <= found[1]; at += 4) fds.push(view.getInt32(at, true));
  return fds;
}

/** Who sent it, where the socket has SO_PASSCRED. */
export function receivedCredentials(): PeerCredentials | undefined {
  const found = findControl(SCM_CREDENTIALS);
  if (found === undefined) return undefined;
  const [from] = found;
  return {
    pid: view.getInt32(from + UCRED.pid, true),
    uid: view.getUint32(from + UCRED.uid, true),
    gid: view.getUint32(from + UCRED.gid, true),
  };
}

/** A copy of the name of the socket it came from (sun_path: a NUL first if abstract), or nothing. */
export function receivedName(): Uint8Array {
  const length = Math.min(view.getUint32(MSGHDR.namelen, true), SOCKADDR_UN_STRUCT_SIZE);
  const from = NAME_OFFSET + SOCKADDR_UN.path;
  return Uint8Array.from(bytes.subarray(from, Math.max(from, NAME_OFFSET + length)));
}

/** What is sent beside the data. */
export interface Beside {
  readonly fds?: readonly number[] | undefined;
  /** Another's than one's own need CAP_SETUID, CAP_SETGID, CAP_SYS_ADMIN (for the pid). */
  readonly credentials?: PeerCredentials | undefined;
  /** Where to, as `receivedName` gave it; nothing: where the socket is connected to. */
  readonly name?: Uint8Array | undefined;
}

/** Sends `n` bytes at `address` with what is `beside` them: bytes taken or -errno. */
export function sendMessage(
  fd: number,
  address: number,
  n: number,
  beside: Beside,
  flags = 0,
): number {
  const { fds = [], credentials } = beside;
  if (fds.length > SCM_MAX_FD) return -E.EINVAL;
  let used = 0;
  if (credentials !== undefined) {
    const at = controlHeader(used, SCM_CREDENTIALS, UCRED_STRUCT_SIZE);
    view.setInt32(at + UCRED.pid, credentials.pid, true);
    view.setUint32(at + UCRED.uid, credentials.uid, true);
    view.setUint32(at + UCRED.gid, credentials.gid, true);
    used += CREDENTIALS_SPACE;
  }
  if (fds.length > 0) {
    const at = controlHeader(used, SCM_RIGHTS, fds.length * 4);
    for (const [i, one] of fds.entries()) view.setInt32(at + i * 4, one, true);
    used += CMSGHDR.data + ((fds.length * 4 + 7) & ~7);
  }
  prepare(address, n, used, putName(beside.name));
  return orErrno(c.sendmsg(fd, scratch.address, MSG_DONTWAIT | MSG_NOSIGNAL | flags));
}

/** Puts a name in its place: the length of the address. */
function putName(name: Uint8Array | undefined): number {
  if (name === undefined) return 0;
  view.setUint16(NAME_OFFSET + SOCKADDR_UN.family, AF_UNIX, true);
  bytes.set(name, NAME_OFFSET + SOCKADDR_UN.path);
  return SOCKADDR_UN.path + name.length;
}

/** Begins a control message at `used` of the control data; where its data goes. */
function controlHeader(used: number, type: number, length: number): number {
  const from = CONTROL_OFFSET + used;
  putWord64(words, (from + CMSGHDR.len) / 4, CMSGHDR.data + length);
  view.setInt32(from + CMSGHDR.level, SOL_SOCKET, true);
  view.setInt32(from + CMSGHDR.type, type, true);
  return from + CMSGHDR.data;
}

/** Whether the next byte is out-of-band data (sockatmark(3)); false where the kernel has none. */
export function isAtMark(fd: number): boolean {
  const at = scratch.address + INT_OFFSET;
  return ioctl(fd, SIOCATMARK, at) === 0 && view.getInt32(INT_OFFSET, true) !== 0;
}

/** Whether the credentials that came with the message received last are these. */
export function receivedSameCredentials(last: PeerCredentials): boolean {
  const from = findControl(SCM_CREDENTIALS)?.[0];
  return (
    from !== undefined &&
    view.getInt32(from + UCRED.pid, true) === last.pid &&
    view.getUint32(from + UCRED.uid, true) === last.uid &&
    view.getUint32(from + UCRED.gid, true) === last.gid
  );
}
