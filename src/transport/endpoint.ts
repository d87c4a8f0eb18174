/** Sockets for addresses: listening at one, connecting to one, and what pays on the connection. */
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { POLLOUT, PollSet } from "../sys/poll.ts";
import { acceptLane, beginConnectLane, closeLane, listenLane } from "../sys/qtdma.ts";
import {
  accept,
  beginConnect,
  connectOutcome,
  connectTcp,
  connectUnix,
  listenTcp,
  listenUnix,
  setBuffers,
  tuneTcp,
} from "../sys/socket.ts";
import { beginConnectVsock, listenVsock } from "../sys/vsock.ts";
import type { Address } from "./address.ts";
import type { Listener } from "./peers.ts";

/** How long a connect that is waited for may take. */
const CONNECT_MS = 10_000;

/** A listening socket or -errno; `mode` is that of a unix socket's file. */
export function listenAt(address: Address, mode: number, backlog: number): number {
  switch (address.kind) {
    case "unix":
      return listenUnix(address.path, mode, backlog);
    case "tcp":
      return listenTcp(address.host, address.port, backlog);
    case "vsock":
      return listenVsock(address.cid, address.port, backlog);
    case "pcie":
      return listenLane(address.path, address.port, mode);
  }
}

/** Connects; a descriptor or -errno, -ETIMEDOUT after ten seconds. */
export function connectTo(address: Address): number {
  switch (address.kind) {
    case "unix":
      return connectUnix(address.path);
    case "tcp":
      return connectTcp(address.host, address.port);
    case "vsock":
    case "pcie":
      return settled(beginConnectTo(address));
  }
}

/**
 * Begins to connect without waiting: a descriptor that is writable once the outcome is known
 * (connectOutcome), or -errno; -EAGAIN where a unix listener's queue is full.
 */
export function beginConnectTo(address: Address): number {
  switch (address.kind) {
    case "unix":
      return beginConnect(address.path);
    case "tcp":
      return beginConnect(address.host, address.port);
    case "vsock":
      return beginConnectVsock(address.cid, address.port);
    case "pcie":
      return beginConnectLane(address.path, address.port);
  }
}

function settled(fd: number): number {
  if (fd < 0) return fd;
  const polls = new PollSet(1);
  polls.add(fd, POLLOUT);
  const outcome = polls.wait(CONNECT_MS) > 0 ? connectOutcome(fd) : -E.ETIMEDOUT;
  if (outcome === 0) return fd;
  close(fd);
  return outcome;
}

/** The next connection of a listener, -EAGAIN if none waits, or another -errno. */
export function acceptFrom({ fd, kind }: Pick<Listener, "fd" | "kind">): number {
  return kind === "pcie" ? acceptLane(fd) : accept(fd);
}

/** Ends a listener. */
export function closeListener({ fd, kind }: Pick<Listener, "fd" | "kind">): void {
  if (kind === "pcie") closeLane(fd);
  else close(fd);
}

/** Sets the options that pay on a connection; `bufferBytes`: of the socket, each way. */
export function tune(fd: number, kind: Address["kind"], bufferBytes: number): void {
  if (kind === "pcie") return;
  if (kind === "tcp") tuneTcp(fd);
  setBuffers(fd, bufferBytes);
}
