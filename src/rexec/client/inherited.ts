/** Descriptors above 2 that were given to this process, and what each could be over there. */
import { fstatSync, readdirSync } from "node:fs";
import { AF_INET, AF_INET6, AF_UNIX } from "../../sys/sockaddr.ts";
import { isConnected, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "../../sys/socket.ts";
import { getInt, SO_ACCEPTCONN, SO_DOMAIN, SOL_SOCKET, socketType } from "../../sys/sockopt.ts";
import { PROGRAM_FD_MAX } from "../../wire/limits.ts";
import { ProgramEnd } from "../../wire/streams.ts";

/**
 * The numbers of files, pipes, sockets and devices, ascending. To be called before this process opens
 * any of these itself: what the runtime has opened is of other kinds.
 */
export function inheritedNumbers(): number[] {
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd > 2 && fd <= PROGRAM_FD_MAX && isPassed(fd))
    .sort((a, b) => a - b);
}

function isPassed(fd: number): boolean {
  try {
    const stats = fstatSync(fd);
    return stats.isFile() || stats.isFIFO() || stats.isSocket() || stats.isCharacterDevice();
  } catch {
    // The directory's own, which is closed by now.
    return false;
  }
}

const LISTENERS: ReadonlyMap<number, number> = new Map([
  [AF_UNIX, ProgramEnd.LISTENER_UNIX],
  [AF_INET, ProgramEnd.LISTENER_INET],
  [AF_INET6, ProgramEnd.LISTENER_INET6],
]);
const CONNECTED: ReadonlyMap<number, number> = new Map([
  [SOCK_STREAM, ProgramEnd.SOCKET],
  [SOCK_SEQPACKET, ProgramEnd.PACKETS],
  [SOCK_DGRAM, ProgramEnd.DATAGRAMS],
]);

/** What the program has for socket `fd` (ProgramEnd); undefined: nothing can stand for it. */
export function socketKind(fd: number): number | undefined {
  const type = socketType(fd);
  if (getInt(fd, SOL_SOCKET, SO_ACCEPTCONN) !== 1) {
    return isConnected(fd) ? CONNECTED.get(type) : undefined;
  }
  return type === SOCK_STREAM ? LISTENERS.get(getInt(fd, SOL_SOCKET, SO_DOMAIN)) : undefined;
}
