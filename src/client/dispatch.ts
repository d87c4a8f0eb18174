/** Which function forwards which of the kernel's requests, and which its answer. */
import { OPCODE_COUNT, Opcode } from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import type { Client } from "./client.ts";
import {
  answerAttributes,
  answerList,
  answerSetattr,
  answerSetxattr,
  answerStatfs,
  answerStatx,
  answerXattr,
  failAttributes,
  failGetxattr,
  getattr,
  getxattr,
  listxattr,
  removexattr,
  setattr,
  setxattr,
  statfs,
  statx,
  syncfs,
} from "./forward/attributes.ts";
import { answerReaddir, fsyncdir, opendir, readdir, releasedir } from "./forward/directories.ts";
import {
  answerDone,
  answerNumber,
  answerOpen,
  answerRead,
  answerWrite,
  copyFileRange,
  fallocate,
  flush,
  fsync,
  lseek,
  open,
  read,
  release,
  write,
} from "./forward/files.ts";
import { answerReadlink, readlink } from "./forward/links.ts";
import {
  answerCreated,
  answerLookup,
  answerMade,
  answerRemoved,
  answerRenamed,
  create,
  failLookup,
  link,
  lookup,
  mkdir,
  mknod,
  rename,
  rmdir,
  symlink,
  tmpfile,
  unlink,
} from "./forward/names.ts";
import {
  answerGetlk,
  answerIoctl,
  answerPoll,
  batchForget,
  forget,
  getlk,
  ioctl,
  poll,
  setlk,
} from "./forward/special.ts";

import { NOT_HERE } from "./twins/door.ts";
import { FORWARD } from "./watches/ghosts.ts";

/** Forwards the request in the device's buffer, or answers it: 0, or an errno to answer with. */
export type Forward = (client: Client) => number;
/** Answers the kernel with the server's answer to the request of `slot`. */
export type Answer = (client: Client, slot: number) => void;
/** Answers the kernel after the server's errno. */
export type Fail = (client: Client, slot: number, errno: number) => void;

const forwards: readonly (Forward | undefined)[] = table<Forward>([
  [Opcode.LOOKUP, lookup],
  [Opcode.FORGET, forget],
  [Opcode.GETATTR, getattr],
  [Opcode.SETATTR, setattr],
  [Opcode.READLINK, readlink],
  [Opcode.SYMLINK, symlink],
  [Opcode.MKNOD, mknod],
  [Opcode.MKDIR, mkdir],
  [Opcode.UNLINK, unlink],
  [Opcode.RMDIR, rmdir],
  [Opcode.RENAME, rename],
  [Opcode.RENAME2, rename],
  [Opcode.LINK, link],
  [Opcode.OPEN, open],
  [Opcode.READ, read],
  [Opcode.WRITE, write],
  [Opcode.STATFS, statfs],
  [Opcode.RELEASE, release],
  [Opcode.FSYNC, fsync],
  [Opcode.SETXATTR, setxattr],
  [Opcode.GETXATTR, getxattr],
  [Opcode.LISTXATTR, listxattr],
  [Opcode.REMOVEXATTR, removexattr],
  [Opcode.FLUSH, flush],
  [Opcode.OPENDIR, opendir],
  [Opcode.READDIR, readdir],
  [Opcode.READDIRPLUS, readdir],
  [Opcode.RELEASEDIR, releasedir],
  [Opcode.FSYNCDIR, fsyncdir],
  [Opcode.GETLK, getlk],
  [Opcode.SETLK, setlk],
  [Opcode.SETLKW, setlk],
  [Opcode.CREATE, create],
  [Opcode.IOCTL, ioctl],
  [Opcode.POLL, poll],
  [Opcode.BATCH_FORGET, batchForget],
  [Opcode.FALLOCATE, fallocate],
  [Opcode.LSEEK, lseek],
  [Opcode.COPY_FILE_RANGE, copyFileRange],
  [Opcode.COPY_FILE_RANGE_64, copyFileRange],
  [Opcode.SYNCFS, syncfs],
  [Opcode.TMPFILE, tmpfile],
  [Opcode.STATX, statx],
]);

/**
 * Serves the request in the device's buffer, whoever asks it, for the first time or
 * again, from here or by the server: 0, or an errno to answer with.
 */
export function forward(c: Client): number {
  const ghostly = c.ghosts === undefined ? FORWARD : c.ghosts.serve();
  if (ghostly !== FORWARD) return ghostly;
  const hidden = c.twins === undefined ? NOT_HERE : c.twins.serve();
  if (hidden !== NOT_HERE) return hidden;
  const own = c.view?.serve(c);
  if (own !== undefined) return own;
  return forwards[c.fuse.opcode]?.(c) ?? E.ENOSYS;
}

export const answers: readonly (Answer | undefined)[] = table<Answer>([
  [Opcode.LOOKUP, answerLookup],
  [Opcode.GETATTR, answerAttributes],
  [Opcode.SETATTR, answerSetattr],
  [Opcode.READLINK, answerReadlink],
  [Opcode.SYMLINK, answerMade],
  [Opcode.MKNOD, answerMade],
  [Opcode.MKDIR, answerMade],
  [Opcode.UNLINK, answerRemoved],
  [Opcode.RMDIR, answerRemoved],
  [Opcode.RENAME, answerRenamed],
  [Opcode.RENAME2, answerRenamed],
  [Opcode.LINK, answerMade],
  [Opcode.OPEN, answerOpen],
  [Opcode.READ, answerRead],
  [Opcode.WRITE, answerWrite],
  [Opcode.STATFS, answerStatfs],
  [Opcode.FSYNC, answerDone],
  [Opcode.SETXATTR, answerSetxattr],
  [Opcode.GETXATTR, answerXattr],
  [Opcode.LISTXATTR, answerList],
  [Opcode.REMOVEXATTR, answerSetxattr],
  [Opcode.FLUSH, answerDone],
  [Opcode.READDIR, answerReaddir],
  [Opcode.READDIRPLUS, answerReaddir],
  [Opcode.FSYNCDIR, answerDone],
  [Opcode.GETLK, answerGetlk],
  [Opcode.SETLK, answerDone],
  [Opcode.SETLKW, answerDone],
  [Opcode.CREATE, answerCreated],
  [Opcode.IOCTL, answerIoctl],
  [Opcode.POLL, answerPoll],
  [Opcode.FALLOCATE, answerDone],
  [Opcode.LSEEK, answerNumber],
  [Opcode.COPY_FILE_RANGE, answerNumber],
  [Opcode.COPY_FILE_RANGE_64, answerNumber],
  [Opcode.SYNCFS, answerDone],
  [Opcode.TMPFILE, answerCreated],
  [Opcode.STATX, answerStatx],
]);

export const fails: readonly (Fail | undefined)[] = table<Fail>([
  [Opcode.LOOKUP, failLookup],
  [Opcode.GETATTR, failAttributes],
  [Opcode.SETATTR, failAttributes],
  [Opcode.GETXATTR, failGetxattr],
]);

function table<T>(entries: readonly (readonly [number, T])[]): (T | undefined)[] {
  const result: (T | undefined)[] = new Array(OPCODE_COUNT).fill(undefined);
  for (const [opcode, value] of entries) result[opcode] = value;
  return result;
}
