/**
 * A session's record: what a new process needs to go on with the session when
 * the one that served it was killed. It is a file on a tmpfs, mapped into memory,
 * and the tables of the session are views of it; or a file without a name, where
 * sessions need not outlive the process.
 *
 * The process may end between any two stores. Each table writes what a row says
 * before the mark that the row is used, and takes the mark away first.
 */
import { cstring } from "../../sys/cstring.ts";
import { E, errnoText } from "../../sys/errno.ts";
import { fallocate, ftruncate } from "../../sys/io.ts";
import { flock, LOCK_EX, LOCK_NB } from "../../sys/lock.ts";
import { type Region, regionAt } from "../../sys/memory.ts";
import {
  AT_FDCWD,
  close,
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDWR,
  openat,
} from "../../sys/open.ts";
import { bufferAt, mapShared, memfdCreate, unmap } from "../../sys/sharedmemory.ts";
import { unlinkat } from "../../sys/tree.ts";
import { FileType } from "../../wire/constants.ts";
import { mode, size, statFd } from "../status.ts";
import { type RecordDetails, readDetails, writeDetails } from "./details.ts";
import {
  BOUNDS,
  type Column,
  HANDLE,
  HEADER,
  HEADER_AT,
  HEADER_BYTES,
  LOCKS,
  MAGIC,
  NAMES,
  NODE,
  RECORD_BYTES,
  SLOTS_AT,
  SLOTS_BYTES,
  VERSION,
} from "./layout.ts";

const OWNER_ONLY = 0o600;

/** The tables of a record, by the header's word for the rows they have room for. */
const TABLES = [
  { word: HEADER.nodeRows, columns: Object.values(NODE) },
  { word: HEADER.handleRows, columns: Object.values(HANDLE) },
  { word: HEADER.lockRows, columns: [LOCKS] },
  { word: HEADER.nameUnits, columns: [NAMES] },
] as const;

/** Which table: a word of the header. */
export type TableWord = (typeof TABLES)[number]["word"];

/** Why a record of a process that lives cannot be had. */
export const IN_USE = "another process uses it";

/** What a record says cannot be so. */
export class DamagedRecord extends Error {}

export class SessionRecord {
  /** Its file; undefined for one that ends with the process. */
  readonly path: string | undefined;
  /** Whether another process wrote it: the tables find rows in it. */
  readonly reopened: boolean;
  readonly address: number;
  /** What the session keeps of its slots, zeros at first. */
  readonly slots: Region;
  readonly #header: Region;
  readonly #fd: number;

  private constructor(fd: number, address: number, path: string | undefined, reopened: boolean) {
    this.#fd = fd;
    this.address = address;
    this.path = path;
    this.reopened = reopened;
    this.#header = regionAt(address + HEADER_AT, HEADER_BYTES);
    this.slots = regionAt(address + SLOTS_AT, SLOTS_BYTES);
  }

  /** A record that ends with this process; throws when there is no memory for it. */
  static anonymous(): SessionRecord {
    const made = make(memfdCreate(cstring("qtfs-session")));
    if (typeof made === "number") throw new Error(`Cannot make a record: ${errnoText(-made)}`);
    return new SessionRecord(made.fd, made.address, undefined, false).#begin();
  }

  /** A new record in the file `path`, locked for as long as it is open; or -errno. */
  static create(path: string): SessionRecord | number {
    const flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const made = make(openat(AT_FDCWD, cstring(path), flags, OWNER_ONLY));
    if (typeof made !== "number") {
      return new SessionRecord(made.fd, made.address, path, false).#begin();
    }
    if (made !== -E.EEXIST) unlinkat(AT_FDCWD, cstring(path), 0);
    return made;
  }

  /**
   * The record in the file `path`, of a process that is gone; or why there is
   * none, a clause for people. The file is locked from then on.
   */
  static open(path: string): SessionRecord | string {
    // Without waiting, should it be a FIFO.
    const flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const fd = openat(AT_FDCWD, cstring(path), flags, 0);
    if (fd < 0) return errnoText(-fd);
    const mapped = checkFile(fd) ?? mapWhole(fd);
    if (typeof mapped === "string") {
      close(fd);
      return mapped;
    }
    const record = new SessionRecord(fd, mapped, path, true);
    const wrong = record.#check();
    if (wrong === undefined) return record;
    record.close();
    return wrong;
  }

  /** Processes that have served the session, the first included. */
  get lives(): number {
    return this.#header.words[HEADER.lives] as number;
  }

  /** The process that serves it, or served it last. */
  get pid(): number {
    return this.#header.words[HEADER.pid] as number;
  }

  /** This process serves the session from now on; returns `lives`. */
  beginLife(): number {
    this.#header.words[HEADER.pid] = process.pid;
    this.#header.words[HEADER.lives] = this.lives + 1;
    return this.lives;
  }

  /** What the record says of its session; undefined until it was described. */
  get details(): RecordDetails | undefined {
    return readDetails(this.#header);
  }

  /** Says what session it is; all or nothing of it is found later. */
  describe(details: RecordDetails): void {
    writeDetails(this.#header, details);
  }

  /** Rows that the table has room for. */
  rows(table: TableWord): number {
    return this.#header.words[table] as number;
  }

  /** Makes room for `rows` rows of a table, zeros where new; 0 or -errno, ENOSPC mostly. */
  grow(table: TableWord, rows: number): number {
    const now = this.rows(table);
    const columns = TABLES.find(({ word }) => word === table)?.columns ?? [];
    for (const { at, width } of columns) {
      const result = fallocate(this.#fd, 0, at + width * now, width * (rows - now));
      if (result < 0) return result;
    }
    this.#header.words[table] = rows;
    return 0;
  }

  /** The first `rows` rows of a column, which there must be room for. */
  u32({ at, width }: Column, rows: number): Uint32Array<ArrayBuffer> {
    return new Uint32Array(bufferAt(this.address + at, width * rows));
  }

  i32({ at, width }: Column, rows: number): Int32Array<ArrayBuffer> {
    return new Int32Array(bufferAt(this.address + at, width * rows));
  }

  u8({ at, width }: Column, rows: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(bufferAt(this.address + at, width * rows));
  }

  /** Ends the mapping and the file's lock; no view may be used afterwards. The file stays. */
  close(): void {
    unmap(this.address, RECORD_BYTES);
    close(this.#fd);
  }

  /** Removes the file: the session has ended. */
  remove(): void {
    if (this.path !== undefined) unlinkat(AT_FDCWD, cstring(this.path), 0);
  }

  #begin(): this {
    const { words } = this.#header;
    words.set(BOUNDS, HEADER.bounds);
    words[HEADER.version] = VERSION;
    this.beginLife();
    // Last: without it the file is no record.
    words.set(MAGIC, HEADER.magic);
    return this;
  }

  /** What is wrong with the header, or undefined. */
  #check(): string | undefined {
    const { words } = this.#header;
    if (MAGIC.some((word, i) => words[HEADER.magic + i] !== word)) return "it is no record";
    if (words[HEADER.version] !== VERSION) return `its version is ${words[HEADER.version]}`;
    if (BOUNDS.some((bound, i) => words[HEADER.bounds + i] !== bound)) {
      return "it was written for other bounds";
    }
    for (const { word, columns } of TABLES) {
      const rows = this.rows(word);
      if (rows > (MOST.get(word) as number)) return "its tables are too large";
      for (const { at, width } of columns) {
        // There are pages already; where there are none, this process would end by SIGBUS.
        const result = rows === 0 ? 0 : fallocate(this.#fd, 0, at, width * rows);
        if (result < 0) return `its pages cannot be had: ${errnoText(-result)}`;
      }
    }
    return undefined;
  }
}

/** Most rows of each table. */
const MOST: ReadonlyMap<TableWord, number> = new Map([
  [HEADER.nodeRows, BOUNDS[0]],
  [HEADER.handleRows, BOUNDS[1]],
  [HEADER.lockRows, BOUNDS[2]],
  [HEADER.nameUnits, BOUNDS[3] / NAMES.width],
]);

/** Gives the new file `fd` its size and maps it; or -errno, and `fd` is closed. */
function make(fd: number): { fd: number; address: number } | number {
  if (fd < 0) return fd;
  let result = flock(fd, LOCK_EX | LOCK_NB);
  if (result === 0) result = ftruncate(fd, RECORD_BYTES);
  if (result === 0) result = allocateHead(fd);
  const address = result === 0 ? mapShared(fd, RECORD_BYTES) : result;
  if (address >= 0) return { fd, address };
  close(fd);
  return address;
}

/** Pages for what is used of every record. */
function allocateHead(fd: number): number {
  return fallocate(fd, 0, HEADER_AT, SLOTS_AT + SLOTS_BYTES);
}

/** Why `fd` cannot be a record that nobody uses, or undefined. */
function checkFile(fd: number): string | undefined {
  if (statFd(fd) !== 0 || (mode() & FileType.MASK) !== FileType.REGULAR) return "it is no file";
  if (size() !== RECORD_BYTES) return `its size is ${size()}, not ${RECORD_BYTES}`;
  if (flock(fd, LOCK_EX | LOCK_NB) !== 0) return IN_USE;
  return undefined;
}

function mapWhole(fd: number): number | string {
  const result = allocateHead(fd);
  const address = result < 0 ? result : mapShared(fd, RECORD_BYTES);
  return address < 0 ? errnoText(-address) : address;
}
