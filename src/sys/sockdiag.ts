/**
 * What listens at a unix socket's file or abstract name, asked of the kernel without being noticed
 * by whoever listens (sock_diag(7)). It knows those of this network namespace alone.
 */
import { i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";
import { close } from "./open.ts";
import { AF_UNIX } from "./sockaddr.ts";
import { recv, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, send } from "./socket.ts";

const c = libc({ socket: { args: [i32, i32, i32], returns: i32 } });

// bits/socket.h of the C library, linux/netlink.h
const AF_NETLINK = 16;
const NETLINK_SOCK_DIAG = 4;
const NLM_F_REQUEST = 0x1;
const NLM_F_DUMP = 0x300;
/** linux/sock_diag.h */
const SOCK_DIAG_BY_FAMILY = 20;
/** linux/unix_diag.h: UDIAG_SHOW_NAME and UDIAG_SHOW_VFS, and the attributes that they ask for. */
const SHOW_NAME = 0x1;
const SHOW_VFS = 0x2;
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_VFS = 1;
/** net/tcp_states.h: a socket that listens, one that is neither that nor connected, one that is. */
const TCP_LISTEN = 10;
const TCP_CLOSE = 7;
const TCP_ESTABLISHED = 1;
/** States of sockets of datagrams. */
const UNLISTENING = (1 << TCP_CLOSE) | (1 << TCP_ESTABLISHED);

/** struct nlmsghdr (linux/netlink.h). */
export const NLMSGHDR = { length: 0, type: 4, flags: 6 } as const;
export const NLMSGHDR_STRUCT_SIZE = 16;
/** struct nlattr (linux/netlink.h). */
export const NLATTR = { length: 0, type: 2 } as const;
export const NLATTR_STRUCT_SIZE = 4;
/** struct unix_diag_req, unix_diag_msg and unix_diag_vfs (linux/unix_diag.h). */
export const UNIX_DIAG_REQ = { family: 0, states: 4, show: 12 } as const;
export const UNIX_DIAG_REQ_STRUCT_SIZE = 24;
export const UNIX_DIAG_MSG = { type: 1 } as const;
export const UNIX_DIAG_MSG_STRUCT_SIZE = 16;
export const VFS_OF = { inode: 0, device: 4 } as const;

const REQUEST_BYTES = NLMSGHDR_STRUCT_SIZE + UNIX_DIAG_REQ_STRUCT_SIZE;
/** The kernel fills at most so much at once (net/netlink/af_netlink.c: netlink_dump). */
const ANSWER_BYTES = 32 * 1024;

const request = allocate(REQUEST_BYTES);
const answer = allocate(ANSWER_BYTES);
request.view.setUint32(NLMSGHDR.length, REQUEST_BYTES, true);
request.view.setUint16(NLMSGHDR.type, SOCK_DIAG_BY_FAMILY, true);
request.view.setUint16(NLMSGHDR.flags, NLM_F_REQUEST | NLM_F_DUMP, true);
request.bytes[NLMSGHDR_STRUCT_SIZE + UNIX_DIAG_REQ.family] = AF_UNIX;

const aligned = (length: number) => (length + 3) & ~3;

/** Whether an attribute, `type` with its value at [at, end) of the answer, of a socket of type `kind` is what is looked for. */
type Sought = (type: number, at: number, end: number, kind: number) => boolean;

/**
 * SOCK_* of the socket that listens at a file, by the file system's number (major · 2^20 +
 * minor) and the low 32 bits of the inode's; undefined where the kernel knows of none.
 */
export function listenerAt(device: number, inode: number): number | undefined {
  const { view } = answer;
  return find(SHOW_VFS, 1 << TCP_LISTEN, (type, at) => {
    if (type !== UNIX_DIAG_VFS || view.getUint32(at + VFS_OF.inode, true) !== inode) return false;
    return view.getUint32(at + VFS_OF.device, true) === device;
  });
}

/**
 * Whether a socket of `type` (SOCK_*) takes connections or datagrams at an abstract name (a byte
 * a character). Each type has names of its own (net/unix/af_unix.c: unix_abstract_hash).
 */
export function isTaking(name: string, type: number): boolean {
  return isIn(type === SOCK_DGRAM ? UNLISTENING : 1 << TCP_LISTEN, name, type);
}

/** Whether a socket of `type` has an abstract name, those left out that were accepted there. */
export function isNamed(name: string, type: number): boolean {
  const states = (1 << TCP_LISTEN) | (1 << TCP_CLOSE);
  return isIn(type === SOCK_DGRAM ? UNLISTENING : states, name, type);
}

function isIn(states: number, name: string, type: number): boolean {
  const sought = `\0${name}`;
  const isSought: Sought = (attribute, at, end, kind) => {
    const isName = attribute === UNIX_DIAG_NAME && kind === type;
    return isName && answer.bytes.latin1Slice(at, end) === sought;
  };
  return find(SHOW_NAME, states, isSought) !== undefined;
}

/** SOCK_* of the first socket in one of `states` (bits) that has a sought attribute among those `show` asks for. */
function find(show: number, states: number, isSought: Sought): number | undefined {
  const fd = orErrno(c.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (fd < 0) return undefined;
  request.view.setUint32(NLMSGHDR_STRUCT_SIZE + UNIX_DIAG_REQ.states, states, true);
  request.view.setUint32(NLMSGHDR_STRUCT_SIZE + UNIX_DIAG_REQ.show, show, true);
  try {
    if (send(fd, request.address, REQUEST_BYTES, 0) < 0) return undefined;
    // The kernel has answered before send(2) returns, and goes on with each recv(2).
    for (;;) {
      const length = recv(fd, answer.address, ANSWER_BYTES);
      if (length <= 0) return undefined;
      const found = findIn(length, isSought);
      if (found !== "more") return found;
    }
  } finally {
    close(fd);
  }
}

/** Looks through the messages of one answer. */
function findIn(length: number, isSought: Sought): number | undefined | "more" {
  const { view } = answer;
  for (let at = 0; at + NLMSGHDR_STRUCT_SIZE <= length; ) {
    const size = view.getUint32(at + NLMSGHDR.length, true);
    const type = view.getUint16(at + NLMSGHDR.type, true);
    // NLMSG_DONE or NLMSG_ERROR, or nothing that the kernel would send.
    if (type !== SOCK_DIAG_BY_FAMILY || size < NLMSGHDR_STRUCT_SIZE || at + size > length) return;
    const message = at + NLMSGHDR_STRUCT_SIZE;
    const kind = answer.bytes[message + UNIX_DIAG_MSG.type] as number;
    if (hasSought(message + UNIX_DIAG_MSG_STRUCT_SIZE, at + size, isSought, kind)) return kind;
    at += aligned(size);
  }
  return "more";
}

/** Whether one of the attributes at [start, end) is sought. */
function hasSought(start: number, end: number, isSought: Sought, kind: number): boolean {
  const { view } = answer;
  for (let at = start; at + NLATTR_STRUCT_SIZE <= end; ) {
    const size = view.getUint16(at + NLATTR.length, true);
    if (size < NLATTR_STRUCT_SIZE) return false;
    const type = view.getUint16(at + NLATTR.type, true);
    if (isSought(type, at + NLATTR_STRUCT_SIZE, Math.min(at + size, end), kind)) return true;
    at += aligned(size);
  }
  return false;
}
