/** A unix datagram socket that a test receives with. */
import { addr, i32, libc, orErrno } from "../../src/sys/libc.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "../../src/sys/sockaddr.ts";
import { recv, SOCK_DGRAM } from "../../src/sys/socket.ts";
import { ok } from "./support.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  bind: { args: [i32, addr, i32], returns: i32 },
});
const buffer = allocate(256);

/** A socket bound to `name`: sun_path as it is, with NUL first for an abstract one. */
export function bindDatagram(name: string): number {
  const address = allocate(SOCKADDR_UN_STRUCT_SIZE);
  address.view.setUint16(SOCKADDR_UN.family, AF_UNIX, true);
  address.bytes.write(name, SOCKADDR_UN.path);
  const fd = ok(orErrno(c.socket(AF_UNIX, SOCK_DGRAM, 0)));
  ok(orErrno(c.bind(fd, address.address, SOCKADDR_UN.path + Buffer.byteLength(name))));
  return fd;
}

/** The datagram that came first; throws if there is none. */
export function receiveDatagram(fd: number): string {
  const length = ok(recv(fd, buffer.address, buffer.size));
  return buffer.bytes.toString("utf8", 0, length);
}
