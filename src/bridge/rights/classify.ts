/** Finds out what a descriptor is that a program passes. */
import { readlinkSync } from "node:fs";
import { cstring } from "../../sys/cstring.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_STATX_DONT_SYNC,
  F_GETFL,
  fcntlInt,
  O_ACCMODE,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
} from "../../sys/open.ts";
import { AF_UNIX } from "../../sys/sockaddr.ts";
import { isConnected } from "../../sys/socket.ts";
import { getInt, SO_ACCEPTCONN, SO_DOMAIN, SO_TYPE, SOL_SOCKET } from "../../sys/sockopt.ts";
import {
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  STATX,
  STATX_BASIC_STATS,
  STATX_STRUCT_SIZE,
  statx,
} from "../../sys/stat.ts";
import { isTerminal } from "../../sys/terminal.ts";
import { SocketType } from "../../wire/streams.ts";
import { MEMORY_DEVICES, MEMORY_MAJOR } from "./devices.ts";

/** What a descriptor is; `flags` are those of F_GETFL. */
export type Found =
  | { what: "file"; flags: number }
  | { what: "memfd"; flags: number; size: number }
  | { what: "pipe"; flags: number; reads: boolean }
  | { what: "socket"; flags: number; type: number; isUnix: boolean }
  /** `device` is its number. */
  | { what: "terminal"; flags: number; device: string }
  | { what: "device"; flags: number; minor: number }
  | { what: "eventfd"; flags: number }
  /** It cannot cross; `name` says to people what it is. */
  | { what: "refused"; name: string };

const status = allocate(STATX_STRUCT_SIZE);
const TYPES: ReadonlySet<number> = new Set(Object.values(SocketType));

export function classify(fd: number): Found {
  const flags = fcntlInt(fd, F_GETFL);
  // What it is does not change: nobody is asked, which may take a round trip.
  const how = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
  const found = statx(fd, cstring(""), how, STATX_BASIC_STATS, status.address);
  if (flags < 0 || found < 0) return { what: "refused", name: "a descriptor that is not open" };
  if ((flags & O_PATH) !== 0) return { what: "file", flags };
  const type = status.view.getUint16(STATX.mode, true) & S_IFMT;
  if (type === S_IFDIR) return { what: "file", flags };
  if (type === S_IFREG) return regular(fd, flags);
  if (type === S_IFIFO) return pipe(flags);
  if (type === S_IFSOCK) return socket(fd, flags);
  if (type === S_IFCHR) return device(fd, flags);
  return special(fd, flags);
}

function regular(fd: number, flags: number): Found {
  if (!linkOf(fd).startsWith("/memfd:")) return { what: "file", flags };
  return { what: "memfd", flags, size: Number(status.view.getBigUint64(STATX.size, true)) };
}

function pipe(flags: number): Found {
  const access = flags & O_ACCMODE;
  if (access === O_RDONLY) return { what: "pipe", flags, reads: true };
  if (access === O_WRONLY) return { what: "pipe", flags, reads: false };
  return { what: "refused", name: "a FIFO that is open for reading and writing" };
}

function socket(fd: number, flags: number): Found {
  const type = getInt(fd, SOL_SOCKET, SO_TYPE);
  const isUnix = getInt(fd, SOL_SOCKET, SO_DOMAIN) === AF_UNIX;
  const isStream = type === SocketType.STREAM;
  if (getInt(fd, SOL_SOCKET, SO_ACCEPTCONN) === 1)
    return { what: "refused", name: "a listening socket" };
  if (!isConnected(fd)) return { what: "refused", name: "a socket without a peer" };
  if (!TYPES.has(type) || (!isUnix && !isStream)) {
    return { what: "refused", name: `a socket of type ${type}` };
  }
  return { what: "socket", flags, type, isUnix };
}

function device(fd: number, flags: number): Found {
  const major = status.view.getUint32(STATX.rdevMajor, true);
  const minor = status.view.getUint32(STATX.rdevMinor, true);
  if (major === MEMORY_MAJOR && MEMORY_DEVICES.has(minor)) return { what: "device", flags, minor };
  if (isTerminal(fd)) return { what: "terminal", flags, device: `${major}:${minor}` };
  return { what: "refused", name: `device ${linkOf(fd)}` };
}

function special(fd: number, flags: number): Found {
  const link = linkOf(fd);
  return link === "anon_inode:[eventfd]"
    ? { what: "eventfd", flags }
    : { what: "refused", name: link };
}

/** Size of a regular file that is open for reading alone and has no name any more; -1 for others. */
export function namelessSize(fd: number, flags: number): number {
  if ((flags & (O_PATH | O_ACCMODE)) !== O_RDONLY) return -1;
  const { view, address } = status;
  if (statx(fd, cstring(""), AT_EMPTY_PATH, STATX_BASIC_STATS, address) < 0) return -1;
  const isRegular = (view.getUint16(STATX.mode, true) & S_IFMT) === S_IFREG;
  if (!isRegular || view.getUint32(STATX.nlink, true) > 0) return -1;
  return Number(view.getBigUint64(STATX.size, true));
}

/** What /proc says of a descriptor of this process. */
export function linkOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "a descriptor";
  }
}
