/** What travels beside the data of a unix socket: descriptors and credentials. */
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import type { PeerCredentials } from "../sys/sockopt.ts";
import { ProtocolError } from "../wire/error.ts";

/**
 * Carries descriptors (SCM_RIGHTS) over a bridge, for one connection of programs.
 * Both calls may take round trips: `done` comes now or later, once, unless the
 * connection is closed before. A failure is the errno that the connection is reset with.
 */
export interface Ancillary {
  /** Makes a message of at most RIGHTS_MAX bytes of `fds`, which it owns from now on. */
  pack(fds: readonly number[], done: (packed: Uint8Array | Failure) => void): void;
  /** Makes descriptors of the peer's message; `done` owns them, and must close those it has no use for. */
  unpack(packed: Uint8Array, done: (fds: number[] | Failure) => void): void;
  /** Closes a descriptor that was unpacked: it has gone on, or is not wanted any more. */
  release(fd: number): void;
  /** Data is about to be read: tells what has changed of descriptors that were passed before it. */
  refresh(): void;
  /** What `pack` was called for last has not been told to the peer, and will not be. */
  drop(): void;
  /** The connection is over: what is under way is given up. */
  close(): void;
}

/** A positive errno. */
export type Failure = number;

/** Bytes of a RIGHTS message behind the length of the data that it belongs to. */
export const RIGHTS_MAX = 63 * 1024;

/** For connections that no descriptors can cross: whoever sends some is reset. */
export const NO_ANCILLARY: Ancillary = {
  pack(fds, done) {
    for (const fd of fds) close(fd);
    done(E.EOPNOTSUPP);
  },
  unpack: (_, done) => done(E.EOPNOTSUPP),
  release: (fd) => void close(fd),
  refresh() {},
  drop() {},
  close() {},
};

const OWN_UID = process.getuid?.();
const OWN_GID = process.getgid?.();

/** Message CREDENTIALS: pid, uid and gid, u32 each. */
const CREDENTIALS_BYTES = 12;

export function encodeCredentials({ pid, uid, gid }: PeerCredentials): Uint8Array {
  const bytes = Buffer.alloc(CREDENTIALS_BYTES);
  bytes.writeUInt32LE(pid, 0);
  bytes.writeUInt32LE(uid, 4);
  bytes.writeUInt32LE(gid, 8);
  return bytes;
}

/**
 * The credentials as they can be given on this machine: user and group are the sender's;
 * the process is qtfs itself, for a number of another machine's names somebody else here
 * or nobody, whom the kernel does not accept (scm_check_creds). undefined: those that
 * the kernel gives without being told.
 */
export function decodeCredentials(bytes: Uint8Array): PeerCredentials | undefined {
  if (bytes.length !== CREDENTIALS_BYTES) throw new ProtocolError("credentials of a wrong length");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const isOwn = view.getUint32(4, true) === OWN_UID && view.getUint32(8, true) === OWN_GID;
  if (isOwn) return undefined;
  return { pid: process.pid, uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}
