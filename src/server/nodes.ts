/**
 * The inodes one session knows: a table of columns, so that a walk over
 * hundreds of thousands of files costs little memory and no descriptors.
 *
 * A node is (device, inode, birth time) of the HOST: hard links share one, a
 * re-used inode number is another. Its number on the wire is a row and how
 * often that row was used before, so a number from the past is never mistaken.
 *
 * How a node is reached again, best first: a descriptor it has open, its file
 * handle, or the name it was last seen under (its hint) with the identity
 * checked. Hints make a directory walk cost one statx(2) an entry.
 */
import { NODE_POLICY_SHIFT } from "../wire/constants.ts";
import { NODES_MAX } from "../wire/limits.ts";

const ROWS_AT_FIRST = 1024;
const NONE = -1;
/** How often a row may be used again; the policy's two bits are above. */
const REUSE_MASK = (1 << NODE_POLICY_SHIFT) - 1;

/** What tells one inode from another. */
export interface Identity {
  device: number;
  inoHigh: number;
  inoLow: number;
  birth: number;
  birthNs: number;
}

function grown<T extends Uint32Array | Int32Array>(column: T, rows: number, fill = 0): T {
  const next = new (column.constructor as { new (n: number): T })(rows);
  next.set(column);
  if (fill !== 0) next.fill(fill, column.length);
  return next;
}

export class NodeTable {
  /** How often each row was used before: the high half of the node's number. */
  reuse = new Uint32Array(ROWS_AT_FIRST);
  lookups = new Uint32Array(ROWS_AT_FIRST);
  device = new Uint32Array(ROWS_AT_FIRST);
  inoHigh = new Uint32Array(ROWS_AT_FIRST);
  inoLow = new Uint32Array(ROWS_AT_FIRST);
  birth = new Uint32Array(ROWS_AT_FIRST);
  birthNs = new Uint32Array(ROWS_AT_FIRST);
  /** Number of the directory of the hint: row and high half. */
  parent = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  parentReuse = new Uint32Array(ROWS_AT_FIRST);
  /** Policy of the node when it was made. */
  madeWith = new Uint32Array(ROWS_AT_FIRST);
  /** O_PATH descriptor, or -1; its place among the cached ones, or -1. */
  fd = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  cacheSlot = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  /** First handle open on this inode, or -1. */
  handle = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  /**
   * Change time and size of the data that the client was last told to keep: not
   * the modification time, which utimensat(2) can set back.
   */
  seenTime = new Uint32Array(ROWS_AT_FIRST);
  seenTimeNs = new Uint32Array(ROWS_AT_FIRST);
  seenSize = new Uint32Array(ROWS_AT_FIRST);
  /** The same of the attributes it was last told, which its kernel may still believe. */
  toldTime = new Uint32Array(ROWS_AT_FIRST);
  toldTimeNs = new Uint32Array(ROWS_AT_FIRST);
  toldSize = new Uint32Array(ROWS_AT_FIRST);
  #next = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  #buckets = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  /** Names of the hints, one byte a character. */
  readonly names: string[] = [""];
  /** File handles of nodes whose descriptor was closed to bound their number. */
  readonly fileHandles = new Map<number, string>();

  /** Caching policy of each device seen (wire/constants.ts: Policy). */
  readonly policies = new Map<number, number>();

  #used = 1;
  #free = NONE;
  /** Nodes alive. */
  count = 0;

  /** Row of the node `high:low`, or -1 when there is no such node. */
  row(high: number, low: number): number {
    return low < this.#used && (this.lookups[low] as number) > 0 && this.high(low) === high
      ? low
      : NONE;
  }

  /** High half of the number of `row`: its use and the policy it was made with. */
  high(row: number): number {
    return (this.reuse[row] as number) | ((this.madeWith[row] as number) << NODE_POLICY_SHIFT);
  }

  /** Rows there ever were: one more than the highest. */
  get rows(): number {
    return this.#used;
  }

  /** Whether the directory of a row's hint is still the one it was. */
  parentAlive(row: number): boolean {
    const parent = this.parent[row] as number;
    return parent !== NONE && this.row(this.parentReuse[row] as number, parent) === parent;
  }

  /** Row with this identity, or -1. */
  find(id: Identity): number {
    let row = this.#buckets[this.#bucket(id.inoLow, id.device)] as number;
    while (row !== NONE && !this.matches(row, id)) row = this.#next[row] as number;
    return row;
  }

  /** Whether `row` is the inode `id`. */
  matches(row: number, id: Identity): boolean {
    return (
      this.inoLow[row] === id.inoLow &&
      this.inoHigh[row] === id.inoHigh &&
      this.device[row] === id.device &&
      this.birthNs[row] === id.birthNs &&
      this.birth[row] === id.birth
    );
  }

  /**
   * The row of `id`, made if it is new, with one lookup more to forget and its
   * hint set to `name` in `parent`. Returns -1 when the table is full.
   */
  intern(id: Identity, parent: number, name: string): number {
    let row = this.find(id);
    if (row === NONE) {
      row = this.#take();
      if (row === NONE) return NONE;
      this.#insert(row, id);
      this.madeWith[row] = this.policies.get(id.device) ?? 0;
    }
    this.lookups[row] = (this.lookups[row] as number) + 1;
    this.setHint(row, parent, name);
    return row;
  }

  /** Remembers that `row` was last seen as `name` in the directory `parent`. */
  setHint(row: number, parent: number, name: string): void {
    this.parent[row] = parent;
    this.parentReuse[row] = parent === NONE ? 0 : this.high(parent);
    this.names[row] = name;
  }

  /**
   * Takes `count` lookups off a row. True when none is left: the caller closes
   * what the node has open and then calls `drop`.
   */
  forget(row: number, count: number): boolean {
    const left = (this.lookups[row] as number) - count;
    this.lookups[row] = Math.max(left, 0);
    return left <= 0;
  }

  /** Removes a row whose lookups are all forgotten. */
  drop(row: number): void {
    this.#unlink(row);
    this.reuse[row] = ((this.reuse[row] as number) + 1) & REUSE_MASK;
    this.lookups[row] = 0;
    this.parent[row] = NONE;
    this.names[row] = "";
    this.seenTime[row] = 0;
    this.seenTimeNs[row] = 0;
    this.seenSize[row] = 0;
    this.fileHandles.delete(row);
    this.#next[row] = this.#free;
    this.#free = row;
    this.count--;
  }

  #bucket(inoLow: number, device: number): number {
    return (
      (Math.imul(inoLow ^ Math.imul(device, 0x9e3779b1), 0x85ebca6b) >>> 8) &
      (this.#buckets.length - 1)
    );
  }

  #insert(row: number, id: Identity): void {
    this.device[row] = id.device;
    this.inoHigh[row] = id.inoHigh;
    this.inoLow[row] = id.inoLow;
    this.birth[row] = id.birth;
    this.birthNs[row] = id.birthNs;
    const bucket = this.#bucket(id.inoLow, id.device);
    this.#next[row] = this.#buckets[bucket] as number;
    this.#buckets[bucket] = row;
    this.count++;
  }

  #unlink(row: number): void {
    const bucket = this.#bucket(this.inoLow[row] as number, this.device[row] as number);
    let at = this.#buckets[bucket] as number;
    if (at === row) {
      this.#buckets[bucket] = this.#next[row] as number;
      return;
    }
    while (at !== NONE && this.#next[at] !== row) at = this.#next[at] as number;
    if (at !== NONE) this.#next[at] = this.#next[row] as number;
  }

  #take(): number {
    if (this.#free !== NONE) {
      const row = this.#free;
      this.#free = this.#next[row] as number;
      return row;
    }
    if (this.#used >= NODES_MAX) return NONE;
    if (this.#used === this.reuse.length) this.#grow(this.reuse.length * 2);
    this.names.push("");
    return this.#used++;
  }

  #grow(rows: number): void {
    this.reuse = grown(this.reuse, rows);
    this.lookups = grown(this.lookups, rows);
    this.device = grown(this.device, rows);
    this.inoHigh = grown(this.inoHigh, rows);
    this.inoLow = grown(this.inoLow, rows);
    this.birth = grown(this.birth, rows);
    this.birthNs = grown(this.birthNs, rows);
    this.parent = grown(this.parent, rows, NONE);
    this.parentReuse = grown(this.parentReuse, rows);
    this.madeWith = grown(this.madeWith, rows);
    this.fd = grown(this.fd, rows, NONE);
    this.cacheSlot = grown(this.cacheSlot, rows, NONE);
    this.handle = grown(this.handle, rows, NONE);
    this.seenTime = grown(this.seenTime, rows);
    this.seenTimeNs = grown(this.seenTimeNs, rows);
    this.seenSize = grown(this.seenSize, rows);
    this.toldTime = grown(this.toldTime, rows);
    this.toldTimeNs = grown(this.toldTimeNs, rows);
    this.toldSize = grown(this.toldSize, rows);
    this.#next = grown(this.#next, rows, NONE);
    this.#rehash(rows);
  }

  #rehash(buckets: number): void {
    const alive: number[] = [];
    for (const first of this.#buckets) {
      for (let row = first; row !== NONE; row = this.#next[row] as number) alive.push(row);
    }
    this.#buckets = new Int32Array(buckets).fill(NONE);
    for (const row of alive) {
      const bucket = this.#bucket(this.inoLow[row] as number, this.device[row] as number);
      this.#next[row] = this.#buckets[bucket] as number;
      this.#buckets[bucket] = row;
    }
  }
}
