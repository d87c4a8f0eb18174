/**
 * Where the records of a server's sessions are: a directory of files, one a
 * session, named by a digest of the session's key so that the record of a client
 * that comes back is found, and the secret id is not.
 */
import { mkdirSync, readdirSync } from "node:fs";
import { cstring } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { allocate, free } from "../../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  openat,
} from "../../sys/open.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../../sys/stat.ts";
import { FileType } from "../../wire/constants.ts";
import { mode, owner, statFd } from "../status.ts";
import { SessionRecord } from "./record.ts";

/** linux/magic.h */
const TMPFS_MAGIC = 0x01021994;
const OWNER_ONLY = 0o700;
const NAME = /^[0-9a-f]{64}$/;

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

  /** Names of the records in the directory, of whichever server. */
  static names(directory: string): string[] {
    return readdirSync(directory).filter((name) => NAME.test(name));
  }

  /** A record for the new session of `key`; throws a clause when there is no room for it. */
  create(key: string): SessionRecord {
    if (this.#directory === undefined) return SessionRecord.anonymous();
    const made = SessionRecord.create(this.#path(digest(key)));
    if (typeof made !== "number") return made;
    // The name is taken by what another session left that ended without its process knowing.
    if (made !== -E.EEXIST) throw new Error(`no record can be made: ${errnoText(-made)}`);
    return SessionRecord.anonymous();
  }

  /** The record called `name`; or why there is none, a clause. It is locked then. */
  open(name: string): SessionRecord | string {
    if (this.#directory === undefined) return "no records are kept";
    return SessionRecord.open(this.#path(name));
  }

  /** The record of `key` that a process left which is gone; undefined where there is none. */
  find(key: string): SessionRecord | undefined {
    const record = this.open(digest(key));
    return typeof record === "string" ? undefined : record;
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`;
  }
}

function digest(key: string): string {
  return new Bun.CryptoHasher("sha256").update(key).digest("hex");
}
