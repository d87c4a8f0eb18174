/** Unix sockets bound in the tree. */
import { addr, i32, libc, u32 } from "../../../src/sys/libc.ts";
import { bytesOf, type Path, space } from "./arena.ts";
import { opened } from "./descriptors.ts";
import { must } from "./failure.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, addr, u32], returns: i32 },
  connect: { args: [i32, addr, u32], returns: i32 },
  listen: { args: [i32, i32], returns: i32 },
  accept4: { args: [i32, addr, addr, i32], returns: i32 },
});

const AF_UNIX = 1;
const SOCK_CLOEXEC = 0x80000;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_SEQPACKET = 5;

export function socket(type = SOCK_STREAM): number {
  return opened(must("socket", [type], c.socket(AF_UNIX, type | SOCK_CLOEXEC, 0)));
}

/** struct sockaddr_un, as long as its path and a NUL need. */
function named(path: Path) {
  const bytes = bytesOf(path);
  const room = space(Math.max(bytes.length + 3, 16));
  room.view.setUint16(0, AF_UNIX, true);
  room.bytes.set(bytes, 2);
  return { address: room.address, length: bytes.length + 3 };
}

export function bind(fd: number, path: Path): void {
  const name = named(path);
  must("bind", [fd, path], c.bind(fd, name.address, name.length));
}

export function connect(fd: number, path: Path): void {
  const name = named(path);
  must("connect", [fd, path], c.connect(fd, name.address, name.length));
}

export function listen(fd: number, backlog = 8): void {
  must("listen", [fd], c.listen(fd, backlog));
}

export function accept(fd: number): number {
  return opened(must("accept", [fd], c.accept4(fd, 0, 0, SOCK_CLOEXEC)));
}
