/** What the proxy's sockets need beside src/sys: closing a TCP connection by RST. */
import { addr, i32, libc, orErrno, u32 } from "../../../src/sys/libc.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { close } from "../../../src/sys/open.ts";
import { boundPort, listenTcp, send, tuneTcp } from "../../../src/sys/socket.ts";
import { SOL_SOCKET } from "../../../src/sys/sockopt.ts";
import type { Address } from "../../../src/transport/address.ts";
import * as endpoint from "../../../src/transport/endpoint.ts";

const c = libc({ setsockopt: { args: [i32, i32, i32, addr, u32], returns: i32 } });

// asm-generic/socket.h
const SO_LINGER = 13;
const BACKLOG = 64;

/** struct linger: on, and for 0 seconds. */
const linger = allocate(8);
linger.view.setInt32(0, 1, true);

/** Closes a socket; a TCP one sends RST (socket(7), SO_LINGER with no time). */
export function reset(fd: number): void {
  orErrno(c.setsockopt(fd, SOL_SOCKET, SO_LINGER, linger.address, 8));
  close(fd);
}

/** A non-blocking connection, or -errno. */
export function connectTo(address: Address): number {
  const fd = endpoint.connectTo(address);
  if (fd >= 0 && address.kind === "tcp") tuneTcp(fd);
  return fd;
}

/** A non-blocking listener; throws where there can be none. */
export function listenAt(address: Address): number {
  const fd = endpoint.listenAt(address, 0o600, BACKLOG);
  if (fd < 0) throw new Error(`The proxy cannot listen: errno ${-fd}`);
  return fd;
}

const words = allocate(64 * 1024);

/** Sends `bytes` (at most 64 KiB), as far as the kernel takes them at once. */
export function say(fd: number, bytes: Uint8Array): void {
  words.bytes.set(bytes);
  send(fd, words.address, bytes.length, 0);
}

/** A TCP address of this machine that nobody listens at. */
export function freeTcpAddress(): Address {
  const host = "127.0.0.1";
  const fd = listenTcp(host, 0, 1);
  const port = boundPort(fd);
  close(fd);
  return { kind: "tcp", host, port };
}
