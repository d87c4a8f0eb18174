/** Socket addresses: struct sockaddr_un, sockaddr_in, sockaddr_in6 and sockaddr_vm. */
import { cstring } from "./cstring.ts";
import { E } from "./errno.ts";
import { addr, i32, libc, u32 } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({
  inet_pton: { args: [i32, addr, addr], returns: i32 },
  inet_ntop: { args: [i32, addr, addr, u32], returns: addr },
  if_nametoindex: { args: [addr], returns: u32 },
});

// bits/socket.h of the C library
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_VSOCK = 40;

// linux/vm_sockets.h
export const VMADDR_CID_ANY = 0xffff_ffff;
export const VMADDR_CID_HOST = 2;

/** struct sockaddr_un (linux/un.h). */
export const SOCKADDR_UN = { family: 0, path: 2 } as const;
export const SOCKADDR_UN_STRUCT_SIZE = 110;

/** struct sockaddr_in (linux/in.h); port and address in network order. */
export const SOCKADDR_IN = { family: 0, port: 2, address: 4 } as const;
export const SOCKADDR_IN_STRUCT_SIZE = 16;

/** struct sockaddr_in6 (linux/in6.h); the scope id is in the machine's order. */
export const SOCKADDR_IN6 = {
  family: 0,
  port: 2,
  flowinfo: 4,
  address: 8,
  scopeId: 24,
} as const;
export const SOCKADDR_IN6_STRUCT_SIZE = 28;

/** struct sockaddr_vm (linux/vm_sockets.h); port and CID in the machine's order. */
export const SOCKADDR_VM = { family: 0, port: 4, cid: 8 } as const;
export const SOCKADDR_VM_STRUCT_SIZE = 16;

/** The one address of this thread that is being worked on. */
const scratch = allocate(SOCKADDR_UN_STRUCT_SIZE);

/** Where the functions below leave an address. */
export const sockaddrAddress = scratch.address;

/** Stores a unix path; returns the address's length, or -errno. */
export function unixAddress(path: string): number {
  const length = Buffer.byteLength(path);
  if (length === 0 || path.includes("\0")) return -E.EINVAL;
  // Without the terminator, sun_path's last byte would be usable too; unix(7) advises against it.
  if (length >= SOCKADDR_UN_STRUCT_SIZE - SOCKADDR_UN.path) return -E.ENAMETOOLONG;
  scratch.bytes.fill(0);
  scratch.view.setUint16(SOCKADDR_UN.family, AF_UNIX, true);
  scratch.bytes.write(path, SOCKADDR_UN.path);
  return SOCKADDR_UN.path + length + 1;
}

/**
 * Stores an IPv4 or IPv6 literal (`fe80::1%eth0` too) and a port; returns the
 * address's length, or -EINVAL.
 */
export function inetAddress(host: string, port: number): number {
  if (host.includes("\0") || !(Number.isInteger(port) && port >= 0 && port <= 0xffff)) {
    return -E.EINVAL;
  }
  scratch.bytes.fill(0);
  return host.includes(":") ? inet6(host, port) : inet4(host, port);
}

function inet4(host: string, port: number): number {
  const { view, address } = scratch;
  if (c.inet_pton(AF_INET, cstring(host), address + SOCKADDR_IN.address) !== 1) return -E.EINVAL;
  view.setUint16(SOCKADDR_IN.family, AF_INET, true);
  view.setUint16(SOCKADDR_IN.port, port, false);
  return SOCKADDR_IN_STRUCT_SIZE;
}

function inet6(host: string, port: number): number {
  const { view, address } = scratch;
  const percent = host.indexOf("%");
  const literal = percent < 0 ? host : host.slice(0, percent);
  if (c.inet_pton(AF_INET6, cstring(literal), address + SOCKADDR_IN6.address) !== 1) {
    return -E.EINVAL;
  }
  if (percent >= 0) {
    const scope = c.if_nametoindex(cstring(host.slice(percent + 1)));
    if (scope === 0) return -E.EINVAL;
    view.setUint32(SOCKADDR_IN6.scopeId, scope, true);
  }
  view.setUint16(SOCKADDR_IN6.family, AF_INET6, true);
  view.setUint16(SOCKADDR_IN6.port, port, false);
  return SOCKADDR_IN6_STRUCT_SIZE;
}

/** Stores the address of a port of the machine `cid`; returns its length, or -EINVAL. */
export function vsockAddress(cid: number, port: number): number {
  const isWord = (n: number) => Number.isInteger(n) && n >= 0 && n <= 0xffff_ffff;
  if (!isWord(cid) || !isWord(port)) return -E.EINVAL;
  scratch.bytes.fill(0);
  scratch.view.setUint16(SOCKADDR_VM.family, AF_VSOCK, true);
  scratch.view.setUint32(SOCKADDR_VM.port, port, true);
  scratch.view.setUint32(SOCKADDR_VM.cid, cid, true);
  return SOCKADDR_VM_STRUCT_SIZE;
}

/** Machine and port of the AF_VSOCK address that a call left there. */
export function storedVsock(): { cid: number; port: number } {
  const { view } = scratch;
  return {
    cid: view.getUint32(SOCKADDR_VM.cid, true),
    port: view.getUint32(SOCKADDR_VM.port, true),
  };
}

/** The family of the address that a call left there. */
export function storedFamily(): number {
  return scratch.view.getUint16(SOCKADDR_IN.family, true);
}

/** Longest text of an IPv6 address (netinet/in.h: INET6_ADDRSTRLEN). */
const TEXT_BYTES = 46;
const text = allocate(TEXT_BYTES);

/** The IPv4 or IPv6 address and port that a call left there, as `1.2.3.4:5` or `[::1]:5`. */
export function storedInet(): string {
  const family = storedFamily();
  const isSix = family === AF_INET6;
  const from = scratch.address + (isSix ? SOCKADDR_IN6.address : SOCKADDR_IN.address);
  if (Number(c.inet_ntop(family, from, text.address, TEXT_BYTES)) === 0)
    return "an unknown address";
  const host = text.bytes.latin1Slice(0, text.bytes.indexOf(0));
  return `${isSix ? `[${host}]` : host}:${storedPort()}`;
}

/** The port of the IPv4 or IPv6 address that a call left there (both keep it at one place). */
export function storedPort(): number {
  return scratch.view.getUint16(SOCKADDR_IN.port, false);
}
