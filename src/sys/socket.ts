/**
 * Stream sockets as plain descriptors: non-blocking, closed on exec.
 *
 * The socket options are in sockopt.ts, descriptor passing in scm.ts; both are
 * exported from here too.
 */
import { fchmod, fchmodat } from "./attr.ts";
import { cstring } from "./cstring.ts";
import { E } from "./errno.ts";
import { ioctl } from "./ioctl.ts";
import { addr, i32, i64, libc, orErrno, u64 } from "./libc.ts";
import { allocate } from "./memory.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_CLOEXEC,
  O_NONBLOCK,
  setNonBlocking,
} from "./open.ts";
import { MSG_DONTWAIT, MSG_NOSIGNAL } from "./scm.ts";
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  inetAddress,
  SOCKADDR_UN_STRUCT_SIZE,
  sockaddrAddress,
  storedFamily,
  storedInet,
  storedPort,
  unixAddress,
} from "./sockaddr.ts";
import { SO_REUSEADDR, SOL_SOCKET, setInt, setSendTimeout } from "./sockopt.ts";
import { S_IFMT, S_IFSOCK, STATX, STATX_STRUCT_SIZE, STATX_TYPE, statx } from "./stat.ts";
import { unlinkat } from "./tree.ts";

export { MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_NOSIGNAL, recvFds, sendFds } from "./scm.ts";
export {
  connectOutcome,
  type PeerCredentials,
  peerCredentials,
  setBuffers,
  tuneTcp,
} from "./sockopt.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  socketpair: { args: [i32, i32, i32, addr], returns: i32 },
  bind: { args: [i32, addr, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  connect: { args: [i32, addr, i32], returns: i32 },
  accept4: { args: [i32, addr, addr, i32], returns: i32 },
  shutdown: { args: [i32, i32], returns: i32 },
  getpeername: { args: [i32, addr, addr], returns: i32 },
  getsockname: { args: [i32, addr, addr], returns: i32 },
  recv: { args: [i32, addr, u64, i32], returns: i64 },
  send: { args: [i32, addr, u64, i32], returns: i64 },
});

// bits/socket_type.h of the C library
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_SEQPACKET = 5;
export const SOCK_NONBLOCK = O_NONBLOCK;
export const SOCK_CLOEXEC = O_CLOEXEC;

// bits/socket.h of the C library
export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_WAITALL = 0x100;
export const MSG_MORE = 0x8000;

// sys/socket.h of the C library
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

/** How long a connect may take, in seconds. */
const CONNECT_TIMEOUT_S = 10;

/** A pair of descriptors, an address's length, or a struct statx. */
const scratch = allocate(STATX_STRUCT_SIZE);

/** Closes a socket that came to nothing and passes the reason on. */
function abandon(fd: number, reason: number): number {
  close(fd);
  return reason;
}

/**
 * Listens at a unix path; whoever connects needs the rights of `mode` (write).
 * Returns the descriptor or -errno.
 *
 * A socket that nobody listens on any more is replaced; a live one, or a path
 * that is something else, is -EADDRINUSE. Two processes that find the same
 * dead socket at the same moment may both replace it: the later one wins.
 */
export function listenUnix(
  path: string,
  mode: number,
  backlog: number,
  type: number = SOCK_STREAM,
): number {
  const fd = orErrno(c.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  // bind(2) makes the file with the socket's own mode less the umask, so
  // nobody else can connect in between; umask(2) itself would reach all threads.
  let result = fchmod(fd, mode);
  if (result === 0) result = bindUnix(fd, path);
  if (result === 0) result = fchmodat(AT_FDCWD, cstring(path), mode);
  if (result === 0) result = orErrno(c.listen(fd, backlog));
  return result < 0 ? abandon(fd, result) : fd;
}

function bindUnix(fd: number, path: string): number {
  const length = unixAddress(path);
  if (length < 0) return length;
  const result = orErrno(c.bind(fd, sockaddrAddress, length));
  if (result !== -E.EADDRINUSE || !isDeadSocket(path, length)) return result;
  const gone = unlinkat(AT_FDCWD, cstring(path), 0);
  if (gone < 0 && gone !== -E.ENOENT) return gone;
  return orErrno(c.bind(fd, sockaddrAddress, length));
}

/** Whether the stored address is a socket in the file system that refuses connections. */
function isDeadSocket(path: string, length: number): boolean {
  // connect(2) says ECONNREFUSED for files of other types too.
  const found = statx(AT_FDCWD, cstring(path), AT_SYMLINK_NOFOLLOW, STATX_TYPE, scratch.address);
  if (found < 0 || (scratch.view.getUint16(STATX.mode, true) & S_IFMT) !== S_IFSOCK) return false;
  const probe = orErrno(c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (probe < 0) return false;
  return abandon(probe, orErrno(c.connect(probe, sockaddrAddress, length))) === -E.ECONNREFUSED;
}

/** Connects to a unix path. Returns the descriptor or -errno. */
export function connectUnix(path: string, type: number = SOCK_STREAM): number {
  const length = unixAddress(path);
  return length < 0 ? length : connectStored(AF_UNIX, length, type);
}

/**
 * Begins to connect to a unix path or, with `port`, to a literal TCP address,
 * without waiting: a descriptor that is writable once the outcome is known
 * (connectOutcome), or -errno; -EAGAIN where a unix listener's queue is full.
 */
export function beginConnect(host: string, port?: number): number {
  const length = port === undefined ? unixAddress(host) : inetAddress(host, port);
  if (length < 0) return length;
  const family = port === undefined ? AF_UNIX : storedFamily();
  const fd = orErrno(c.socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const result = orErrno(c.connect(fd, sockaddrAddress, length));
  return result < 0 && result !== -E.EINPROGRESS ? abandon(fd, result) : fd;
}

/** Listens on a TCP port (0: any free one, see boundPort) of a literal address. */
export function listenTcp(host: string, port: number, backlog: number): number {
  const length = inetAddress(host, port);
  if (length < 0) return length;
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = orErrno(c.socket(storedFamily(), type, 0));
  if (fd < 0) return fd;
  let result = setInt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (result === 0) result = orErrno(c.bind(fd, sockaddrAddress, length));
  if (result === 0) result = orErrno(c.listen(fd, backlog));
  return result < 0 ? abandon(fd, result) : fd;
}

/**
 * Connects to a literal IPv4 or IPv6 address; -EINVAL for anything else (names
 * are the caller's to resolve), -ETIMEDOUT after ten seconds.
 */
export function connectTcp(host: string, port: number): number {
  const length = inetAddress(host, port);
  return length < 0 ? length : connectStored(storedFamily(), length);
}

function connectStored(family: number, length: number, type: number = SOCK_STREAM): number {
  const fd = orErrno(c.socket(family, type | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  let result = setSendTimeout(fd, CONNECT_TIMEOUT_S);
  if (result === 0) result = orErrno(c.connect(fd, sockaddrAddress, length));
  // What SO_SNDTIMEO makes of a connect that took too long (socket(7)).
  if (result === -E.EINPROGRESS || result === -E.EAGAIN) result = -E.ETIMEDOUT;
  if (result === 0) result = setNonBlocking(fd, true);
  return result < 0 ? abandon(fd, result) : fd;
}

/** accept4(2): the connection, -EAGAIN if none waits, or another -errno. */
export function accept(fd: number): number {
  return orErrno(c.accept4(fd, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/** recv(2) without waiting: bytes, 0 at the end of the stream, or -errno (-EAGAIN: none yet). */
export function recv(fd: number, address: number, n: number): number {
  return orErrno(c.recv(fd, address, n, MSG_DONTWAIT));
}

/** send(2) without waiting and without SIGPIPE: bytes taken or -errno (-EAGAIN: no room). */
export function send(fd: number, address: number, n: number, flags: number): number {
  return orErrno(c.send(fd, address, n, flags | MSG_NOSIGNAL | MSG_DONTWAIT));
}

/** linux/sockios.h: SIOCOUTQ, the same as TIOCOUTQ of asm-generic/ioctls.h. */
const SIOCOUTQ = 0x5411;

/**
 * Bytes sent that the peer has not taken: not acknowledged by its machine (tcp(7))
 * or not read by the peer (unix(7)). 0 where it cannot be told.
 */
export function unsentBytes(fd: number): number {
  scratch.view.setInt32(0, 0, true);
  return ioctl(fd, SIOCOUTQ, scratch.address) < 0 ? 0 : scratch.view.getInt32(0, true);
}

/** shutdown(2) with SHUT_*. */
export function shutdown(fd: number, how: number): number {
  return orErrno(c.shutdown(fd, how));
}

/** The port that a TCP socket is bound to, or -errno; -EAFNOSUPPORT for other sockets. */
export function boundPort(fd: number): number {
  scratch.view.setUint32(0, SOCKADDR_UN_STRUCT_SIZE, true);
  const result = orErrno(c.getsockname(fd, sockaddrAddress, scratch.address));
  if (result < 0) return result;
  const family = storedFamily();
  return family === AF_INET || family === AF_INET6 ? storedPort() : -E.EAFNOSUPPORT;
}

/** First byte that has arrived at `fd`, which stays there; -EAGAIN: none yet; -EPIPE: none will. */
export function peekByte(fd: number): number {
  const got = orErrno(c.recv(fd, scratch.address, 1, MSG_PEEK | MSG_DONTWAIT));
  if (got < 0) return got;
  return got === 0 ? -E.EPIPE : scratch.view.getUint8(0);
}

/** Address and port at the other end of a TCP connection, for people. */
export function peerText(fd: number): string {
  scratch.view.setUint32(0, SOCKADDR_UN_STRUCT_SIZE, true);
  return c.getpeername(fd, sockaddrAddress, scratch.address) === 0
    ? storedInet()
    : "an unknown address";
}

/** The same of this end; undefined where that is no TCP connection. */
export function ownText(fd: number): string | undefined {
  return boundPort(fd) < 0 ? undefined : storedInet();
}

/** Whether a socket has a peer (getpeername(2)). */
export function isConnected(fd: number): boolean {
  scratch.view.setUint32(0, SOCKADDR_UN_STRUCT_SIZE, true);
  return c.getpeername(fd, sockaddrAddress, scratch.address) === 0;
}

/** socketpair(2) of unix sockets of `type` (SOCK_*), or -errno. */
export function socketPair(type: number): [number, number] | number {
  const flags = type | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const result = orErrno(c.socketpair(AF_UNIX, flags, 0, scratch.address));
  if (result < 0) return result;
  return [scratch.view.getInt32(0, true), scratch.view.getInt32(4, true)];
}
