/**
 * Unix sockets of any type at places in the file system: bound, listened at and
 * connected to as other programs do it, and never waited for.
 */
import { E } from "./errno.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "./open.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "./sockaddr.ts";
import { SOCK_CLOEXEC, SOCK_NONBLOCK } from "./socket.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, addr, i32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  connect: { args: [i32, addr, i32], returns: i32 },
  getsockname: { args: [i32, addr, addr], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
});

/** Bytes of a path, with its NUL (linux/un.h: UNIX_PATH_MAX). */
const PATH_BYTES = SOCKADDR_UN_STRUCT_SIZE - SOCKADDR_UN.path;

const address = allocate(SOCKADDR_UN_STRUCT_SIZE);
address.view.setUint16(SOCKADDR_UN.family, AF_UNIX, true);
const nameLength = allocate(4);
const here = allocate(2);
here.bytes.latin1Write(".", 0);

/** socket(2) of `type` (SOCK_*), not blocking, closed on exec: descriptor or -errno. */
export function unixSocket(type: number): number {
  return orErrno(c.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/** The address's length for `path`, a byte a character. */
function put(path: string): number {
  if (path.length === 0 || path.length >= PATH_BYTES) return -E.ENAMETOOLONG;
  address.bytes.latin1Write(path, SOCKADDR_UN.path);
  address.bytes[SOCKADDR_UN.path + path.length] = 0;
  return SOCKADDR_UN.path + path.length + 1;
}

/** Binds `fd` to a new file at `path` (a byte a character, at most 107), as any program: 0 or -errno. */
export function bindPath(fd: number, path: string): number {
  const length = put(path);
  return length < 0 ? length : orErrno(c.bind(fd, address.address, length));
}

/**
 * Binds `fd` to a new file `name` (a byte a character, at most 107) in the directory
 * `dirfd`, from within it: the calling thread must have a working directory of its own
 * (CLONE_FS), which is the same afterwards. 0 or -errno.
 */
export function bindIn(fd: number, dirfd: number, name: string): number {
  const length = put(name);
  if (length < 0) return length;
  const back = openat(AT_FDCWD, here.address, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
  if (back < 0) return back;
  let result = orErrno(c.fchdir(dirfd));
  if (result === 0) result = orErrno(c.bind(fd, address.address, length));
  c.fchdir(back);
  close(back);
  return result;
}

/** The longest name, its NUL left out. */
export const SOCKET_PATH_MAX = PATH_BYTES - 1;
/** The longest abstract name, the NUL before it left out. */
export const ABSTRACT_MAX = PATH_BYTES - 1;
/** linux/socket.h: the longest queue that the kernel grants unless told otherwise. */
export const SOMAXCONN = 4096;

/** Binds `fd` to `path` (a byte a character) in the calling thread's root or working directory: 0 or -errno. */
export function bindAt(fd: number, path: string): number {
  const length = put(path);
  return length < 0 ? length : orErrno(c.bind(fd, address.address, length));
}

/** Connects `fd` to `path`, as `bindAt` has it: what `connectTo` says. */
export function connectAt(fd: number, path: string): number {
  const length = put(path);
  return length < 0 ? length : orErrno(c.connect(fd, address.address, length));
}

/** The address's length for an abstract name (unix(7)), a byte a character, without the NUL before it. */
function putAbstract(name: string): number {
  if (name.length === 0 || name.length > ABSTRACT_MAX) return -E.EINVAL;
  address.bytes[SOCKADDR_UN.path] = 0;
  address.bytes.latin1Write(name, SOCKADDR_UN.path + 1);
  return SOCKADDR_UN.path + 1 + name.length;
}

/** Binds `fd` to the abstract name `name` (a byte a character) in the socket's network namespace: 0 or -errno. */
export function bindAbstract(fd: number, name: string): number {
  const length = putAbstract(name);
  return length < 0 ? length : orErrno(c.bind(fd, address.address, length));
}

/** Connects `fd` to the abstract name `name`: what `connectTo` says. */
export function connectAbstract(fd: number, name: string): number {
  const length = putAbstract(name);
  return length < 0 ? length : orErrno(c.connect(fd, address.address, length));
}

/** Gives `fd` a name of the kernel's choice (unix(7), autobind), for answers to reach it: 0 or -errno. */
export function autobind(fd: number): number {
  return orErrno(c.bind(fd, address.address, SOCKADDR_UN.path));
}

/** The path that `fd` is bound to (a byte a character), "" for none. */
export function boundPath(fd: number): string {
  nameLength.view.setUint32(0, SOCKADDR_UN_STRUCT_SIZE, true);
  if (orErrno(c.getsockname(fd, address.address, nameLength.address)) < 0) return "";
  const end = Math.min(nameLength.view.getUint32(0, true), SOCKADDR_UN_STRUCT_SIZE);
  const [text = ""] = address.bytes.latin1Slice(SOCKADDR_UN.path, end).split("\0");
  return text;
}

/** listen(2): 0 or -errno. */
export function listenAt(fd: number, backlog: number): number {
  return orErrno(c.listen(fd, backlog));
}

/**
 * Connects `fd` to the socket file that `target`, a descriptor of it (O_PATH), is open on:
 * 0, -EAGAIN where a listener's queue is full, -EPROTOTYPE for one of another type, or -errno.
 */
export function connectTo(fd: number, target: number): number {
  return orErrno(c.connect(fd, address.address, put(`/proc/self/fd/${target}`)));
}

/** What connecting a new socket of `type` to `target` comes to, as `connectTo` says it. */
export function tryConnect(type: number, target: number): number {
  const fd = unixSocket(type);
  if (fd < 0) return fd;
  const result = connectTo(fd, target);
  close(fd);
  return result;
}
