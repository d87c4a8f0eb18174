/** Tells the service manager how a daemon fares (sd_notify(3)): a datagram to NOTIFY_SOCKET. */
import { cstring } from "./cstring.ts";
import { E } from "./errno.ts";
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate, free } from "./memory.ts";
import { close, O_CLOEXEC } from "./open.ts";
import { sendFds } from "./scm.ts";
import { AF_UNIX, SOCKADDR_UN, SOCKADDR_UN_STRUCT_SIZE } from "./sockaddr.ts";

const c = libc({
  socket: { args: [i32, i32, i32], returns: i32 },
  connect: { args: [i32, addr, i32], returns: i32 },
});

// bits/socket_type.h of the C library
const SOCK_DGRAM = 2;

/**
 * Sends `state`, such as `READY=1`, to the socket that `address` names: a path,
 * or an abstract name after `@`, and the descriptors with it (sd_pid_notify_with_fds(3)).
 * Returns the bytes sent or -errno.
 */
export function notify(address: string, state: string, fds: readonly number[] = []): number {
  const name = Buffer.byteLength(address);
  if (name === 0 || name > SOCKADDR_UN_STRUCT_SIZE - SOCKADDR_UN.path) return -E.EINVAL;
  const fd = orErrno(c.socket(AF_UNIX, SOCK_DGRAM | O_CLOEXEC, 0));
  if (fd < 0) return fd;
  const to = allocate(SOCKADDR_UN_STRUCT_SIZE);
  to.view.setUint16(SOCKADDR_UN.family, AF_UNIX, true);
  to.bytes.write(address, SOCKADDR_UN.path);
  // An abstract name begins with NUL and has no end but the address's length (unix(7)).
  if (address.startsWith("@")) to.bytes[SOCKADDR_UN.path] = 0;
  let sent = orErrno(c.connect(fd, to.address, SOCKADDR_UN.path + name));
  if (sent === 0) sent = sendFds(fd, cstring(state), Buffer.byteLength(state), fds, 0);
  close(fd);
  free(to);
  return sent;
}
