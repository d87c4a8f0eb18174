/**
 * Byte-range locks. Each (inode, owner) of a client has one open file
 * description here, whose OFD locks (fcntl(2)) stand for the owner's: owners of
 * all clients and the HOST's own processes then conflict as the kernel says.
 * The ranges are rows of the session's record, for another process to lock again.
 */
import { close } from "../sys/open.ts";
import { Lock } from "../wire/constants.ts";
import { LOCK_FILES_MAX, LOCK_RANGES_MAX } from "../wire/limits.ts";
import { type HeldRange, LockRows, NO_ROW } from "./lockrows.ts";
import { SessionRecord } from "./record/record.ts";

/** What an owner waits for. */
interface Wish {
  node: number;
  start: bigint;
  end: bigint;
  type: number;
}

/** Rows that locking or freeing one range takes at most: it may split another. */
const ROWS_A_CHANGE = 2;

export interface LockFile {
  readonly fd: number;
  readonly node: number;
  readonly owner: string;
  readonly ownerHigh: number;
  readonly ownerLow: number;
  /** Handle the owner locked through last: an OFD lock ends with it. */
  handle: number;
  ranges: readonly HeldRange[];
  /** Calls that wait on the descriptor in another thread. */
  waits: number;
  ended: boolean;
}

export class LockTable {
  readonly #files = new Map<string, LockFile>();
  readonly #rows: LockRows;

  constructor(record = SessionRecord.anonymous()) {
    this.#rows = new LockRows(record);
  }

  /** Key of an owner on an inode; the owner is a 64-bit number in halves. */
  static key(node: number, ownerHigh: number, ownerLow: number): string {
    return `${node}:${ownerHigh}:${ownerLow}`;
  }

  readonly #wishes = new Map<string, Wish>();

  /**
   * Whether waiting for a lock would wait for ever: those who hold it wait, in
   * the end, for `owner` (fcntl(2): EDEADLK). Only this client's owners are seen.
   */
  wouldDeadlock(owner: string, wish: Wish): boolean {
    const seen = new Set<string>();
    const wishes = [wish];
    for (let next = wishes.pop(); next !== undefined; next = wishes.pop()) {
      for (const holder of this.#holders(next)) {
        if (holder === owner && next !== wish) return true;
        if (seen.has(holder)) continue;
        seen.add(holder);
        const theirs = this.#wishes.get(holder);
        if (theirs !== undefined) wishes.push(theirs);
      }
    }
    return false;
  }

  /** Owners who hold a range that conflicts with `wish`. */
  *#holders(wish: Wish): Generator<string> {
    for (const file of this.#files.values()) {
      if (file.node !== wish.node) continue;
      const conflicts = file.ranges.some(
        (range) =>
          range.start <= wish.end &&
          range.end >= wish.start &&
          (range.type === Lock.WRITE || wish.type === Lock.WRITE),
      );
      if (conflicts) yield file.owner;
    }
  }

  /** `file`'s owner begins to wait. */
  beginWait(file: LockFile, wish: Wish): void {
    file.waits++;
    this.#wishes.set(file.owner, wish);
  }

  get(key: string): LockFile | undefined {
    return this.#files.get(key);
  }

  /** Whether there is no room for another owner. */
  get full(): boolean {
    return this.#files.size >= LOCK_FILES_MAX;
  }

  /** Adds the description `fd`, owned from now on, for that owner. */
  add(node: number, ownerHigh: number, ownerLow: number, fd: number, handle: number): LockFile {
    const owner = `${ownerHigh}:${ownerLow}`;
    const rest = { ranges: [], waits: 0, ended: false };
    const file = { fd, node, owner, ownerHigh, ownerLow, handle, ...rest };
    this.#files.set(LockTable.key(node, ownerHigh, ownerLow), file);
    return file;
  }

  /** Whether `file` may lock or free one more range and the record has room for it. */
  hasRoom(file: LockFile): boolean {
    return file.ranges.length + ROWS_A_CHANGE <= LOCK_RANGES_MAX && this.#rows.room(ROWS_A_CHANGE);
  }

  /**
   * `file`'s owner has locked `added` or, with type UNLOCK, freed it; false when
   * the record has no room to say so.
   */
  note(file: LockFile, added: HeldRange): boolean {
    const next = withRange(file.ranges, added);
    const fresh = next.filter((range) => range.row === NO_ROW);
    if (fresh.length > 0 && !this.#rows.room(fresh.length)) return false;
    // The new ones first: a range that is locked is in the record all the while.
    for (const range of fresh) range.row = this.#rows.take(file, range);
    const kept = new Set(next);
    for (const range of file.ranges) {
      if (!kept.has(range)) this.#rows.clear(range.row);
    }
    file.ranges = next;
    return true;
  }

  /** The owner locks through `handle` from now on. */
  through(file: LockFile, handle: number): void {
    if (file.handle === handle) return;
    file.handle = handle;
    for (const range of file.ranges) this.#rows.setHandle(range.row, handle);
  }

  /** Ranges that another process held, to be locked again. */
  get rows(): LockRows {
    return this.#rows;
  }

  /** Drops all locks of an owner on an inode. */
  drop(key: string): void {
    const file = this.#files.get(key);
    if (file === undefined) return;
    this.#files.delete(key);
    for (const range of file.ranges) this.#rows.clear(range.row);
    file.ranges = [];
    file.ended = true;
    if (file.waits === 0) close(file.fd);
  }

  /** Drops what was locked through a handle that is being released. */
  dropHandle(handle: number): void {
    if (this.#files.size === 0) return;
    for (const [key, file] of this.#files) {
      if (file.handle === handle) this.drop(key);
    }
  }

  /** Drops every lock on an inode that is forgotten. */
  dropNode(node: number): void {
    if (this.#files.size === 0) return;
    for (const [key, file] of this.#files) {
      if (file.node === node) this.drop(key);
    }
  }

  /** A wait on the description ends. */
  endWait(file: LockFile): void {
    file.waits--;
    this.#wishes.delete(file.owner);
    if (file.ended && file.waits === 0) close(file.fd);
  }

  /** The process that holds a conflicting range of `node`, or 0 if none is known. */
  holder(node: number, start: bigint, end: bigint): number {
    for (const file of this.#files.values()) {
      if (file.node !== node) continue;
      const held = file.ranges.find((range) => range.start <= end && range.end >= start);
      if (held !== undefined) return held.pid;
    }
    return 0;
  }

  /** Closes all; the record keeps what it says. The table is of no use afterwards. */
  close(): void {
    for (const file of this.#files.values()) {
      file.ended = true;
      if (file.waits === 0) close(file.fd);
    }
    this.#files.clear();
    this.#rows.close();
  }

  get size(): number {
    return this.#files.size;
  }
}

/** `ranges` after `added` was locked or, with type UNLOCK, freed. */
export function withRange(ranges: readonly HeldRange[], added: HeldRange): HeldRange[] {
  const result: HeldRange[] = [];
  for (const range of ranges) {
    if (range.end < added.start || range.start > added.end) {
      result.push(range);
      continue;
    }
    if (range.start < added.start) {
      result.push({ ...range, end: added.start - 1n, row: NO_ROW });
    }
    if (range.end > added.end) result.push({ ...range, start: added.end + 1n, row: NO_ROW });
  }
  if (added.type !== Lock.UNLOCK) result.push(added);
  return result;
}
