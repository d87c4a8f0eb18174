/**
 * Unix sockets of any type by names that are bytes, as the kernel has them (unix(7)).
 * Relative names are those of the calling thread's working directory.
 */
import { E } from "./errno.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./open.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "./sockaddr.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, addr, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  connect: { args: [i32, addr, i32], returns: i32 },
});

/** The longest name, with its NUL left out. */
export const SUN_PATH_MAX = SOCKADDR_UN_STRUCT_SIZE - SOCKADDR_UN.path - 1;
/** linux/socket.h: the longest queue that the kernel grants unless told otherwise. */
export const SOMAXCONN = 4096;

const address = allocate(SOCKADDR_UN_STRUCT_SIZE);
address.view.setUint16(SOCKADDR_UN.family, AF_UNIX, true);

/** Stores a name whose characters are bytes; the address's length, or -errno. */
function store(name: string): number {
  if (name.length === 0 || name.length > SUN_PATH_MAX) return -E.ENAMETOOLONG;
  const end = SOCKADDR_UN.path + address.bytes.latin1Write(name, SOCKADDR_UN.path);
  address.bytes[end] = 0;
  return end + 1;
}

/** A socket of type SOCK_*, not blocking, closed on exec; or -errno. */
export function unixSocket(type: number): number {
  return orErrno(c.socket(AF_UNIX, type | O_NONBLOCK | O_CLOEXEC, 0));
}

/** bind(2) to a name in the file system: 0 or -errno. */
export function bindName(fd: number, name: string): number {
  const length = store(name);
  return length < 0 ? length : orErrno(c.bind(fd, address.address, length));
}

/** listen(2): 0 or -errno. */
export function listen(fd: number, backlog: number): number {
  return orErrno(c.listen(fd, backlog));
}

/** connect(2) by a name: 0 or -errno, -EAGAIN where the listener's queue is full. */
export function connectName(fd: number, name: string): number {
  const length = store(name);
  return length < 0 ? length : orErrno(c.connect(fd, address.address, length));
}
