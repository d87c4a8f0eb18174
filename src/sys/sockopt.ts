/** Socket options that qtfs sets and asks for. */
import { lanes } from "./lanes.ts";
import { addr, i32, libc, orErrno, u32 } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({
  getsockopt: { args: [i32, i32, i32, addr, addr], returns: i32 },
  setsockopt: { args: [i32, i32, i32, addr, u32], returns: i32 },
});

// asm-generic/socket.h
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_TYPE = 3;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_KEEPALIVE = 9;
export const SO_OOBINLINE = 10;
export const SO_PASSCRED = 16;
export const SO_PEERCRED = 17;
export const SO_SNDTIMEO = 21;
export const SO_ACCEPTCONN = 30;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const SO_DOMAIN = 39;
export const SO_PEERGROUPS = 59;

// linux/in.h, linux/tcp.h
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const TCP_KEEPIDLE = 4;
export const TCP_KEEPINTVL = 5;
export const TCP_KEEPCNT = 6;
export const TCP_INFO = 11;
export const TCP_CONGESTION = 13;
export const TCP_THIN_LINEAR_TIMEOUTS = 16;

/** struct ucred: pid i32, uid u32, gid u32. */
export const UCRED = { pid: 0, uid: 4, gid: 8 } as const;
export const UCRED_STRUCT_SIZE = 12;

/** struct tcp_info (linux/tcp.h), as far as it is asked for. */
export const TCP_INFO_HEAD = { retransmits: 2, probes: 3 } as const;
const TCP_INFO_HEAD_BYTES = 8;

/** struct timeval on 64-bit machines: seconds and microseconds, i64 each. */
export const TIMEVAL = { sec: 0, usec: 8 } as const;
export const TIMEVAL_STRUCT_SIZE = 16;

/** An option's value, and behind it its length (socklen_t). */
const value = allocate(32);
const LENGTH_OFFSET = 24;

/** Groups that are asked for: what a caller in more of them is in beside is not seen. */
const GROUPS_MAX = 256;
/** Their bytes (socklen_t), then the groups. */
const groups = allocate(4 + GROUPS_MAX * 4);

/** Who is at the other end of a unix connection; taken by the kernel when it connected. */
export interface PeerCredentials {
  /** As this process sees it; 0: not in its pid namespace. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** setsockopt(2) with an int. Returns 0 or -errno. */
export function setInt(fd: number, level: number, option: number, n: number): number {
  value.view.setInt32(0, n, true);
  return orErrno(c.setsockopt(fd, level, option, value.address, 4));
}

/** getsockopt(2) of an int, which is not negative; or -errno (ENOTSOCK: no socket). */
export function getInt(fd: number, level: number, option: number): number {
  value.view.setUint32(LENGTH_OFFSET, 4, true);
  const result = orErrno(
    c.getsockopt(fd, level, option, value.address, value.address + LENGTH_OFFSET),
  );
  return result < 0 ? result : value.view.getInt32(0, true);
}

/** SO_ERROR: what came of a connect that was begun without waiting: 0 or -errno. */
export function connectOutcome(fd: number): number {
  const lane = lanes.size === 0 ? undefined : lanes.get(fd);
  if (lane !== undefined) return lane.outcome();
  value.view.setUint32(LENGTH_OFFSET, 4, true);
  const result = orErrno(
    c.getsockopt(fd, SOL_SOCKET, SO_ERROR, value.address, value.address + LENGTH_OFFSET),
  );
  return result < 0 ? result : -value.view.getInt32(0, true);
}

/** Bounds a blocking connect or send. */
export function setSendTimeout(fd: number, seconds: number): number {
  value.view.setBigInt64(TIMEVAL.sec, BigInt(seconds), true);
  value.view.setBigInt64(TIMEVAL.usec, 0n, true);
  return orErrno(c.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, value.address, TIMEVAL_STRUCT_SIZE));
}

/**
 * SO_PEERCRED of a connected unix socket, or -errno. Other sockets answer
 * pid 0 and uid and gid 2^32-1.
 */
export function peerCredentials(fd: number): PeerCredentials | number {
  value.view.setUint32(LENGTH_OFFSET, UCRED_STRUCT_SIZE, true);
  const result = orErrno(
    c.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value.address, value.address + LENGTH_OFFSET),
  );
  if (result < 0) return result;
  return {
    pid: value.view.getInt32(UCRED.pid, true),
    uid: value.view.getUint32(UCRED.uid, true),
    gid: value.view.getUint32(UCRED.gid, true),
  };
}

/** How often in a row the peer's machine has left TCP without an answer, or -errno. */
export function tcpUnanswered(fd: number): number {
  value.view.setUint32(LENGTH_OFFSET, TCP_INFO_HEAD_BYTES, true);
  const result = orErrno(
    c.getsockopt(fd, IPPROTO_TCP, TCP_INFO, value.address, value.address + LENGTH_OFFSET),
  );
  if (result < 0) return result;
  const { bytes } = value;
  return (bytes[TCP_INFO_HEAD.retransmits] as number) + (bytes[TCP_INFO_HEAD.probes] as number);
}

/** SO_TYPE: SOCK_* of a socket, or -errno (ENOTSOCK). */
export function socketType(fd: number): number {
  value.view.setUint32(LENGTH_OFFSET, 4, true);
  const result = orErrno(
    c.getsockopt(fd, SOL_SOCKET, SO_TYPE, value.address, value.address + LENGTH_OFFSET),
  );
  return result < 0 ? result : value.view.getInt32(0, true);
}

/** SO_PEERGROUPS: the supplementary groups of a connected unix socket's peer, GROUPS_MAX at most. */
export function peerGroups(fd: number): number[] {
  groups.view.setUint32(0, GROUPS_MAX * 4, true);
  const at = groups.address + 4;
  if (orErrno(c.getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, at, groups.address)) < 0) return [];
  const count = groups.view.getUint32(0, true) / 4;
  return Array.from({ length: count }, (_, i) => groups.view.getUint32(4 + 4 * i, true));
}

/** A silent peer is found dead after 15 + 3 · 5 seconds. */
const KEEPALIVE_IDLE_S = 15;
const KEEPALIVE_INTERVAL_S = 5;
const KEEPALIVE_PROBES = 3;

/**
 * Prepares a TCP connection for small requests: no Nagle, keepalive, and
 * cubic, which was faster than bbr over loopback (bun-techniques §4). Where
 * cubic is not allowed the machine's own choice stays. Returns 0 or -errno.
 */
export function tuneTcp(fd: number): number {
  const result = setInt(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (result < 0) return result;
  const name = value.bytes.write("cubic", 0);
  c.setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, value.address, name);
  // After a cut of up to a second what was lost is sent again within 200 ms, not after
  // as long as the cut has lasted (tcp(7): for connections with little under way).
  setInt(fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1);
  setInt(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
  setInt(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
  setInt(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
  return setInt(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

/**
 * Sets the send and receive buffers to `bytes` (the kernel doubles them for
 * its bookkeeping). The forcing options pass `net.core.?mem_max` and need
 * CAP_NET_ADMIN; without it the plain ones take what is allowed.
 */
export function setBuffers(fd: number, bytes: number): number {
  const send = setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, bytes);
  return send < 0 ? send : setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
}

function setBuffer(fd: number, force: number, plain: number, bytes: number): number {
  const result = setInt(fd, SOL_SOCKET, force, bytes);
  return result < 0 ? setInt(fd, SOL_SOCKET, plain, bytes) : result;
}
