/**
 * Who listens at a socket of the HOST's, found without being noticed where that can be:
 * a DGRAM socket that connects tells nobody, and what else listens refuses it by
 * its type (unix_find_other in net/unix/af_unix.c). STREAM and SEQPACKET are then told
 * apart by the kernel, which knows those of the server's network namespace (sockdiag.ts), and
 * otherwise by a connection that a SEQPACKET program would see, once for each inode.
 */
import { E } from "../sys/errno.ts";
import { listenerAt } from "../sys/sockdiag.ts";
import { tryConnect } from "../sys/unixsocket.ts";
import { SocketType } from "../wire/streams.ts";
import { identify, keepingStatus } from "./status.ts";
import type { Tree } from "./tree.ts";

/** Inodes whose type is remembered, in each thread. */
const KNOWN_MAX = 8192;
const NOBODY = 0;
/** A socket that has ended never comes back to its inode (unix(7)). */
const known = new Map<string, number>();

/** What the inode described last is remembered by. */
export function nameOfInode(): string {
  const { device, inoHigh, inoLow, birth, birthNs } = identify();
  return `${device}:${inoHigh}:${inoLow}:${birth}:${birthNs}`;
}

function remember(inode: string, type: number): void {
  const [oldest] = known.keys();
  if (known.size >= KNOWN_MAX && oldest !== undefined) known.delete(oldest);
  known.set(inode, type);
}

/**
 * The socket that was bound to `inode` (nameOfInode) is to end: nobody listens there from now
 * on, though it is another thread that closes it.
 */
export function noteEnd(inode: string): void {
  remember(inode, NOBODY);
}

/**
 * Type of the socket that is bound to `row`, a socket's file that was described last and
 * still is afterwards: SOCK_*, or 0 where there is none any more.
 */
export function whoListens(tree: Tree, row: number): number {
  const inode = nameOfInode();
  const { device, inoLow } = identify();
  const before = known.get(inode);
  if (before === NOBODY) return NOBODY;
  const fd = keepingStatus(() => tree.reach.fd(row));
  if (fd < 0) return NOBODY;
  const type = probe(fd, () => before ?? listenerAt(device, inoLow));
  if (type !== undefined && type !== before) remember(inode, type);
  return type ?? NOBODY;
}

/** The type, by `known` what is told apart without asking; undefined where it cannot be told now. */
function probe(fd: number, known: () => number | undefined): number | undefined {
  const asDatagram = tryConnect(SocketType.DGRAM, fd);
  if (asDatagram === -E.ECONNREFUSED) return NOBODY;
  // EPERM: it is connected itself, and takes nothing from others.
  if (asDatagram === 0 || asDatagram === -E.EPERM) return SocketType.DGRAM;
  if (asDatagram !== -E.EPROTOTYPE) return undefined;
  const type = known();
  if (type !== undefined) return type;
  const isStream = tryConnect(SocketType.SEQPACKET, fd) === -E.EPROTOTYPE;
  return isStream ? SocketType.STREAM : SocketType.SEQPACKET;
}
