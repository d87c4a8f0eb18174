/**
 * Where the records of servers' sessions are: a directory of files, one a session,
 * named by digests of the server's addresses and of the session's key, so that a
 * server knows its own, the record of a client that comes back is found, and the
 * secret id is not.
 */
import { chmodSync, fchmodSync, fstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { cstring } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { flock, LOCK_EX, LOCK_NB } from "../../sys/lock.ts";
import { allocate, free } from "../../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  openat,
} from "../../sys/open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../../sys/stat.ts";
import { FileType } from "../../wire/constants.ts";
import { mode, owner, statFd } from "../status.ts";
import { SessionRecord } from "./record.ts";

/** linux/magic.h */
const TMPFS_MAGIC = 0x01021994;
const OWNER_ONLY = 0o700;
/** Mode of a record, and the bit of one that was found without a server; that time is its ctime. */
const IN_USE_MODE = 0o600;
const ORPHAN_BIT = 0o100;
/** How long a server may take to come back to its records, at least. */
const ORPHAN_MS = 60 * 60 * 1000;
const NAME = /^[0-9a-f]{16}-[0-9a-f]{64}$/;
/** Digits of the server's part of a name. */
const SERVER_DIGITS = 16;

/** Directories for records, best first; what is on a disk costs writes to it. */
function candidates(uid: number): string[] {
  const ofUser = process.env.XDG_RUNTIME_DIR;
  const first = uid === 0 ? "/run/qtfs/sessions" : ofUser && `${ofUser}/qtfs/sessions`;
  return [...(first ? [first] : []), `/dev/shm/qtfs-sessions-${uid}`];
}

/**
 * The directory to keep records in: `wanted`, or the first candidate that is on
 * a tmpfs, or else the first. Throws a sentence when it is not ours alone.
 */
export function recordDirectory(wanted?: string): string {
  const uid = process.geteuid?.() ?? 0;
  const all = wanted === undefined ? candidates(uid) : [wanted];
  const made = all.filter((path) => wanted !== undefined || isMade(path));
  const best = made.find((path) => typeOf(path) === TMPFS_MAGIC) ?? made[0] ?? (all[0] as string);
  mkdirSync(best, { recursive: true, mode: OWNER_ONLY });
  const fd = openat(AT_FDCWD, cstring(best), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
  if (fd < 0) throw new Error(`Cannot keep sessions in ${best}: ${errnoText(-fd)}`);
  const isOurs = statFd(fd) === 0 && owner() === uid && (mode() & ~FileType.MASK & 0o077) === 0;
  close(fd);
  if (isOurs) return best;
  throw new Error(`Cannot keep sessions in ${best}: it must be this user's alone (mode 0700)`);
}

function isMade(path: string): boolean {
  try {
    mkdirSync(path, { recursive: true, mode: OWNER_ONLY });
    return true;
  } catch {
    return false;
  }
}

/** Type of the file system that a directory is on, or -errno. */
function typeOf(path: string): number {
  const fd = openat(AT_FDCWD, cstring(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
  if (fd < 0) return fd;
  const buffer = allocate(STATFS_STRUCT_SIZE);
  const result = fstatfs(fd, buffer.address);
  const type = buffer.view.getUint32(STATFS.type, true);
  free(buffer);
  close(fd);
  return result < 0 ? result : type;
}

/** Which server a record belongs to, and where it is. */
export interface StorePlace {
  /** Undefined: sessions end with the process. */
  directory: string | undefined;
  /** The server's addresses, by which it knows its own records. */
  server: string;
}

export class RecordStore {
  readonly server: string;
  readonly #directory: string | undefined;

  constructor({ directory, server }: StorePlace) {
    this.#directory = directory;
    this.server = server;
  }

  /** Names of the records in the place that are the server's own. */
  static ownNames({ directory, server }: StorePlace): string[] {
    const prefix = serverPart(server);
    return names(directory).filter((name) => name.startsWith(prefix));
  }

  /**
   * Clears away what servers have left that do not come back. A record that nobody
   * has is marked, and removed when it still is so at another server's start after
   * `graceMs`: its own server may be about to be started again.
   */
  static sweep(directory: string | undefined, graceMs = ORPHAN_MS): void {
    for (const name of names(directory)) {
      const path = `${directory}/${name}`;
      const fd = openat(AT_FDCWD, cstring(path), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
      if (fd < 0) continue;
      if (flock(fd, LOCK_EX | LOCK_NB) === 0) sweepOne(fd, path, graceMs);
      close(fd);
    }
  }

  /** A record for the new session of `key`; throws a clause when there is no room for it. */
  create(key: string): SessionRecord {
    if (this.#directory === undefined) return SessionRecord.anonymous();
    const name = `${serverPart(this.server)}-${digest(key)}`;
    const made = SessionRecord.create(this.#path(name));
    if (typeof made !== "number") return made;
    // The name is taken by what another session left that ended without its process knowing.
    if (made !== -E.EEXIST) throw new Error(`no record can be made: ${errnoText(-made)}`);
    return SessionRecord.anonymous();
  }

  /** The record called `name`; or why there is none, a clause. It is locked then. */
  open(name: string): SessionRecord | string {
    if (this.#directory === undefined) return "no records are kept";
    const record = SessionRecord.open(this.#path(name));
    if (typeof record !== "string") chmodSync(this.#path(name), IN_USE_MODE);
    return record;
  }

  /** The record of `key` that a process left which is gone; undefined where there is none. */
  find(key: string): SessionRecord | undefined {
    const ending = `-${digest(key)}`;
    const name = names(this.#directory).find((one) => one.endsWith(ending));
    const record = name === undefined ? "there is none" : this.open(name);
    return typeof record === "string" ? undefined : record;
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`;
  }
}

/** Marks the record `fd`, which nobody has, or removes it if that was done long ago. */
function sweepOne(fd: number, path: string, graceMs: number): void {
  const { mode, ctimeMs } = fstatSync(fd);
  if ((mode & ORPHAN_BIT) === 0) fchmodSync(fd, IN_USE_MODE | ORPHAN_BIT);
  else if (Date.now() - Math.floor(ctimeMs) >= graceMs) rmSync(path, { force: true });
}

/** Names of all records in the directory. */
function names(directory: string | undefined): string[] {
  return directory === undefined ? [] : readdirSync(directory).filter((name) => NAME.test(name));
}

function serverPart(server: string): string {
  return digest(server).slice(0, SERVER_DIGITS);
}

function digest(key: string): string {
  return new Bun.CryptoHasher("sha256").update(key).digest("hex");
}
