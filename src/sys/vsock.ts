/** Stream sockets between a virtual machine and its host (vsock(7)). */
import { E } from "./errno.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";
import { close } from "./open.ts";
import {
  AF_VSOCK,
  SOCKADDR_VM_STRUCT_SIZE,
  sockaddrAddress,
  storedFamily,
  storedVsock,
  VMADDR_CID_ANY,
  vsockAddress,
} from "./sockaddr.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from "./socket.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, addr, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  connect: { args: [i32, addr, i32], returns: i32 },
  getpeername: { args: [i32, addr, addr], returns: i32 },
});

/** The highest port that needs CAP_NET_BIND_SERVICE (net/vmw_vsock/af_vsock.c: LAST_RESERVED_PORT). */
export const RESERVED_PORT_LAST = 1023;
/** Reserved ports that are tried for a connection: no fewer than connections may be made at once. */
const RESERVED_TRIED = 512;

const length = allocate(4);

function newSocket(): number {
  return orErrno(c.socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

function abandon(fd: number, reason: number): number {
  close(fd);
  return reason;
}

/** Listens at `port` of this machine, under its number `cid` or, with VMADDR_CID_ANY, all of them. */
export function listenVsock(cid: number, port: number, backlog: number): number {
  const fd = newSocket();
  if (fd < 0) return fd;
  const size = vsockAddress(cid, port);
  let result = size < 0 ? size : orErrno(c.bind(fd, sockaddrAddress, size));
  if (result === 0) result = orErrno(c.listen(fd, backlog));
  return result < 0 ? abandon(fd, result) : fd;
}

/**
 * Begins to connect to `port` of the machine `cid`, without waiting: a descriptor that is
 * writable once the outcome is known (connectOutcome), or -errno. From a reserved port where
 * this process may have one: that tells the peer that it is not any user's.
 */
export function beginConnectVsock(cid: number, port: number): number {
  const fd = newSocket();
  if (fd < 0) return fd;
  bindReserved(fd);
  const size = vsockAddress(cid, port);
  const result = size < 0 ? size : orErrno(c.connect(fd, sockaddrAddress, size));
  return result < 0 && result !== -E.EINPROGRESS ? abandon(fd, result) : fd;
}

function bindReserved(fd: number): void {
  const first = Math.floor(Math.random() * RESERVED_TRIED);
  for (let i = 0; i < RESERVED_TRIED; i++) {
    const port = RESERVED_PORT_LAST - ((first + i) % RESERVED_TRIED);
    const size = vsockAddress(VMADDR_CID_ANY, port);
    if (orErrno(c.bind(fd, sockaddrAddress, size)) !== -E.EADDRINUSE) return;
  }
}

/** Machine and port at the other end of a vsock connection; undefined for other sockets. */
export function vsockPeer(fd: number): { cid: number; port: number } | undefined {
  length.view.setUint32(0, SOCKADDR_VM_STRUCT_SIZE, true);
  if (c.getpeername(fd, sockaddrAddress, length.address) !== 0) return undefined;
  return storedFamily() === AF_VSOCK ? storedVsock() : undefined;
}
