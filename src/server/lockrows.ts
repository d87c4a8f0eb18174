/** Ranges that lock owners hold, as rows of the session's record. */
import { Lock } from "../wire/constants.ts";
import { HEADER, LOCK, LOCK_ROWS_MAX, LOCK_WORDS, LOCKS } from "./record/layout.ts";
import { DamagedRecord, type SessionRecord } from "./record/record.ts";

/** Row of a range that is not in the record yet. */
export const NO_ROW = -1;

const ROWS_AT_FIRST = 256;

/** A range that an owner holds. */
export interface HeldRange {
  start: bigint;
  /** Last byte, inclusive. */
  end: bigint;
  /** The wire's Lock type. */
  type: number;
  /** The client's process, for telling who holds a conflicting lock. */
  pid: number;
  /** Its row in the record, or NO_ROW. */
  row: number;
}

/** Whose a range is. */
export interface RangeOwner {
  readonly node: number;
  readonly ownerHigh: number;
  readonly ownerLow: number;
  /** Handle it was locked through. */
  readonly handle: number;
}

const HALF = 32n;

export class LockRows {
  readonly #record: SessionRecord;
  #words = new Uint32Array(0);
  #free: number[] = [];
  /** Rows that were ever used. */
  #used = 0;
  #rows = 0;

  /**
   * Pages are taken with the first lock: most sessions have none. Throws
   * DamagedRecord where the record has rows that cannot be.
   */
  constructor(record: SessionRecord) {
    this.#record = record;
    this.#bind(record.rows(HEADER.lockRows));
    // Rows from the last to the first, so that the first are used first.
    for (let row = this.#rows - 1; row >= 0; row--) {
      if (this.#word(row, LOCK.type) === 0) this.#free.push(row);
    }
    this.#used = this.#rows;
    if (record.reopened) this.all();
  }

  /** Whether there is, or could be made, room for `count` more rows. */
  room(count: number): boolean {
    while (this.#free.length + this.#rows - this.#used < count) {
      const rows = Math.min(Math.max(2 * this.#rows, ROWS_AT_FIRST), LOCK_ROWS_MAX);
      if (rows === this.#rows || this.#record.grow(HEADER.lockRows, rows) < 0) return false;
      this.#bind(rows);
    }
    return true;
  }

  /** Adds a range; there must be room for it. Returns its row. */
  take(owner: RangeOwner, range: HeldRange): number {
    const row = this.#free.pop() ?? this.#used++;
    const at = row * LOCK_WORDS;
    const words = this.#words;
    words[at + LOCK.node] = owner.node;
    words[at + LOCK.handle] = owner.handle;
    words[at + LOCK.pid] = range.pid;
    words[at + LOCK.ownerHigh] = owner.ownerHigh;
    words[at + LOCK.ownerLow] = owner.ownerLow;
    words[at + LOCK.startHigh] = Number(range.start >> HALF);
    words[at + LOCK.startLow] = Number(range.start & 0xffff_ffffn);
    words[at + LOCK.endHigh] = Number(range.end >> HALF);
    words[at + LOCK.endLow] = Number(range.end & 0xffff_ffffn);
    words[at + LOCK.type] = range.type + 1;
    return row;
  }

  setHandle(row: number, handle: number): void {
    this.#words[row * LOCK_WORDS + LOCK.handle] = handle;
  }

  clear(row: number): void {
    this.#words[row * LOCK_WORDS + LOCK.type] = 0;
    this.#free.push(row);
  }

  /**
   * Every range that is in the record now. Throws DamagedRecord for one with
   * bounds reversed or beyond the end of files, or of an unknown type.
   */
  all(): { owner: RangeOwner; range: HeldRange }[] {
    const found: { owner: RangeOwner; range: HeldRange }[] = [];
    for (let row = 0; row < this.#used; row++) {
      if (this.#word(row, LOCK.type) === 0) continue;
      const owner = {
        node: this.#word(row, LOCK.node),
        handle: this.#word(row, LOCK.handle),
        ownerHigh: this.#word(row, LOCK.ownerHigh),
        ownerLow: this.#word(row, LOCK.ownerLow),
      };
      const start = this.#wide(row, LOCK.startHigh, LOCK.startLow);
      const end = this.#wide(row, LOCK.endHigh, LOCK.endLow);
      const type = this.#word(row, LOCK.type) - 1;
      if (end < start || end >> 63n !== 0n || (type !== Lock.READ && type !== Lock.WRITE)) {
        throw new DamagedRecord(`lock ${row} is none`);
      }
      found.push({ owner, range: { start, end, type, pid: this.#word(row, LOCK.pid), row } });
    }
    return found;
  }

  /** Lets go of the record's memory. */
  close(): void {
    this.#bind(0);
  }

  #word(row: number, word: number): number {
    return this.#words[row * LOCK_WORDS + word] as number;
  }

  #wide(row: number, high: number, low: number): bigint {
    return (BigInt(this.#word(row, high)) << HALF) | BigInt(this.#word(row, low));
  }

  #bind(rows: number): void {
    this.#words = this.#record.u32(LOCKS, rows);
    this.#rows = rows;
  }
}
