/**
 * The inodes one session knows: a table of columns, so that a walk over
 * hundreds of thousands of files costs little memory and no descriptors.
 *
 * A node is (device, inode, birth time) of the HOST in one of its mounts: hard links
 * share one, a re-used inode number is another. Its number on the wire is a row and how
 * often that row was used before, so a number from the past is never mistaken.
 *
 * How a node is reached again, best first: a descriptor it has open, its file
 * handle, or the name it was last seen under (its hint) with the identity
 * checked. Hints make a directory walk cost one statx(2) an entry.
 *
 * The columns that the session goes on with after its process was killed are in
 * its record. A row is in use while it has lookups or a handle of the record is
 * open on it; so `lookups` is written last of a new row and first of a dropped one.
 */
import { NODE_EPOCH_SHIFT, NODE_POLICY_SHIFT, ROOT_MOUNT, ROOT_NODE } from "../wire/constants.ts";
import { NODES_MAX } from "../wire/limits.ts";
import { HANDLE, HEADER, NODE } from "./record/layout.ts";
import { NameHeap } from "./record/names.ts";
import { DamagedRecord, SessionRecord } from "./record/record.ts";

const ROWS_AT_FIRST = 1024;
/** Rows added at once: as many as there are, then this many or a quarter. */
const STEP = 65_536;
const NONE = -1;
/** How often a row may be used again; the policy's two bits are above. */
const REUSE_MASK = (1 << NODE_POLICY_SHIFT) - 1;
const POLICIES = 4;

/** What tells one inode from another. */
export interface Identity {
  device: number;
  inoHigh: number;
  inoLow: number;
  birth: number;
  birthNs: number;
}

function grown(column: Int32Array, rows: number): Int32Array<ArrayBuffer> {
  const next = new Int32Array(rows).fill(NONE);
  next.set(column);
  return next;
}

/**
 * From here on, and the link's row, stands for the tree that a magic link leads to: there a
 * directory is another node than elsewhere, for the client's kernel must not see it twice.
 * Numbers of mounts come here after 2^31 mounts (sys/mountid.ts).
 */
const LED_MOUNT = 0xff00_0000;
/** Links that may lead from one tree to the next. */
const LED_DEPTH_MAX = 64;

/** Whether a mount is none of the HOST's but what a magic link leads to. */
export function isLedMount(mount: number): boolean {
  return mount >= LED_MOUNT;
}

const EMPTY_WORDS = new Uint32Array(0);
const EMPTY = new Int32Array(0);

export class NodeTable {
  /** How often each row was used before: the high half of the node's number. */
  reuse = EMPTY_WORDS;
  lookups = EMPTY_WORDS;
  /** Mount that it is seen in, where sessions tell them apart (mounts/hostmounts.ts); else ROOT_MOUNT. */
  mount = EMPTY_WORDS;
  device = EMPTY_WORDS;
  inoHigh = EMPTY_WORDS;
  inoLow = EMPTY_WORDS;
  birth = EMPTY_WORDS;
  birthNs = EMPTY_WORDS;
  /** Number of the directory of the hint: row and high half. */
  parent = EMPTY;
  parentReuse = EMPTY_WORDS;
  /** Name of the hint, a place among the names. */
  #name = EMPTY_WORDS;
  /** Policy of the node when it was made. */
  madeWith = EMPTY_WORDS;
  /**
   * Change time and size of the data that the client was last told to keep: not
   * the modification time, which utimensat(2) can set back.
   */
  seenTime = EMPTY_WORDS;
  seenTimeNs = EMPTY_WORDS;
  seenSize = EMPTY_WORDS;
  /** The same of the attributes it was last told, which its kernel may still believe. */
  toldTime = EMPTY_WORDS;
  toldTimeNs = EMPTY_WORDS;
  toldSize = EMPTY_WORDS;

  // From here on what only this process knows.
  /** O_PATH descriptor, or -1; its place among the cached ones, or -1. */
  fd = EMPTY;
  cacheSlot = EMPTY;
  /** First handle open on this inode, or -1. */
  handle = EMPTY;
  /** Policy that a rule for its directory gives a row, or -1: what it was when the row was made. */
  ruled = EMPTY;
  #next = EMPTY;
  #buckets = EMPTY;
  /** File handles of nodes whose descriptor was closed to bound their number. */
  readonly fileHandles = new Map<number, string>();

  /** Caching policy of each device seen (wire/constants.ts: Policy). */
  readonly policies = new Map<number, number>();
  /** Policy that a rule for a directory gives a new row, or -1; undefined where there are none. */
  ruleOf: ((row: number) => number) | undefined;

  readonly record: SessionRecord;
  readonly #names: NameHeap;
  /** The session's epoch, in its place in the high half of every number but the root's. */
  readonly #epochBits: number;
  #used = 1;
  #free = NONE;
  /** Nodes alive. */
  count = 0;

  /** Throws DamagedRecord where the record has rows that cannot be, Error where it has no room. */
  constructor(record = SessionRecord.anonymous()) {
    this.record = record;
    this.#names = new NameHeap(record);
    this.#epochBits = (record.details?.epoch ?? 0) << NODE_EPOCH_SHIFT;
    const rows = record.rows(HEADER.nodeRows);
    if (rows === 0) {
      if (!this.#grow(ROWS_AT_FIRST)) throw new Error("Cannot make room for nodes");
    } else {
      this.#bind(rows);
      this.#restore();
    }
  }

  /** Row of the node `high:low`, or -1 when there is no such node. */
  row(high: number, low: number): number {
    return low < this.#used && (this.lookups[low] as number) > 0 && this.high(low) === high
      ? low
      : NONE;
  }

  /** High half of the number of `row`: its use, the policy it was made with, the epoch. */
  high(row: number): number {
    if (row === ROOT_NODE) return 0;
    const used =
      (this.reuse[row] as number) | ((this.madeWith[row] as number) << NODE_POLICY_SHIFT);
    return (used | this.#epochBits) >>> 0;
  }

  /** Rows in use. */
  *alive(): Generator<number> {
    for (let row = 1; row < this.#used; row++) {
      if ((this.lookups[row] as number) > 0 || this.handle[row] !== NONE) yield row;
    }
  }

  /** Rows there ever were: one more than the highest. */
  get rows(): number {
    return this.#used;
  }

  /** Whether the directory of a row's hint is still the one it was. */
  parentAlive(row: number): boolean {
    const parent = this.parent[row] as number;
    return parent > 0 && this.row(this.parentReuse[row] as number, parent) === parent;
  }

  /** Mount of a row, or of none (-1): ROOT_MOUNT. */
  mountOf(row: number): number {
    return row === NONE ? ROOT_MOUNT : (this.mount[row] as number);
  }

  /** Mount that the client sees a row in, or none (-1): that of the first link that led there. */
  shownIn(row: number): number {
    let mount = this.mountOf(row);
    for (let depth = 0; isLedMount(mount) && depth < LED_DEPTH_MAX; depth++) {
      mount = this.mountOf(mount - LED_MOUNT);
    }
    return isLedMount(mount) ? ROOT_MOUNT : mount;
  }

  /** Name of a row's hint, a byte a character. */
  nameOf(row: number): string {
    return this.#names.text(this.#name[row] as number);
  }

  /** The same as the address of a string, good until the row changes. */
  nameAddress(row: number): number {
    return this.#names.address(this.#name[row] as number);
  }

  /** Row with this identity in `mount`, or -1. */
  find(id: Identity, mount = ROOT_MOUNT): number {
    let row = this.#buckets[this.#bucket(id.inoLow, id.device)] as number;
    while (row !== NONE && !(this.matches(row, id) && this.mount[row] === mount)) {
      row = this.#next[row] as number;
    }
    return row;
  }

  /** Whether `row` is the inode `id`, in whichever mount. */
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
   * hint set to `name` in `parent`. It is in the mount of `parent` unless another is
   * given. Returns -1 when the table is full.
   */
  intern(id: Identity, parent: number, name: string, mount = this.mountOf(parent)): number {
    const known = this.find(id, mount);
    if (known !== NONE) {
      this.lookups[known] = (this.lookups[known] as number) + 1;
      this.setHint(known, parent, name);
      return known;
    }
    const at = this.#names.add(name);
    const row = at === NONE ? NONE : this.#take();
    if (row === NONE) {
      if (at !== NONE) this.#names.free(at);
      return NONE;
    }
    this.#identify(row, id);
    this.mount[row] = mount;
    this.#name[row] = at;
    this.parent[row] = parent;
    this.parentReuse[row] = parent === NONE ? 0 : this.high(parent);
    const ruled = this.ruleOf?.(row) ?? NONE;
    this.ruled[row] = ruled;
    this.madeWith[row] = ruled >= 0 ? ruled : (this.policies.get(id.device) ?? 0);
    this.lookups[row] = 1;
    this.#link(row);
    this.count++;
    return row;
  }

  /** The same for what the magic link `link` leads to, which is a tree of the link's own. */
  internLed(id: Identity, link: number): number {
    return this.intern(id, link, "", LED_MOUNT + link);
  }

  /** Whether the hint of `row` is a magic link that leads to it. */
  isLed(row: number): boolean {
    return this.#name[row] === 0 && (this.parent[row] as number) > 0;
  }

  /** Remembers that `row` was last seen as `name` in the directory `parent`. */
  setHint(row: number, parent: number, name: string): void {
    this.parent[row] = parent;
    this.parentReuse[row] = parent === NONE ? 0 : this.high(parent);
    const at = this.#name[row] as number;
    if (this.#names.is(at, name)) return;
    // A new place first: a name in use is never half of one and half of another.
    const next = this.#names.add(name);
    this.#name[row] = Math.max(next, 0);
    // Without room for its name it cannot be reached by it.
    if (next === NONE) this.parent[row] = NONE;
    this.#names.free(at);
  }

  /** `row` is the inode `id` from now on: it has taken the place of the one it was. */
  becomes(row: number, id: Identity): void {
    this.#unlink(row);
    this.#identify(row, id);
    this.#link(row);
    this.fileHandles.delete(row);
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
    this.lookups[row] = 0;
    this.#unlink(row);
    const at = this.#name[row] as number;
    this.#clear(row);
    this.#names.free(at);
    this.fileHandles.delete(row);
    this.#next[row] = this.#free;
    this.#free = row;
    this.count--;
  }

  /** Lets go of the record's memory; the table is of no use afterwards. */
  close(): void {
    this.#names.close();
    this.#used = 1;
    this.#bind(0);
  }

  /** A row in use no more: another number, nothing remembered. */
  #clear(row: number): void {
    this.reuse[row] = ((this.reuse[row] as number) + 1) & REUSE_MASK;
    this.parent[row] = NONE;
    this.mount[row] = ROOT_MOUNT;
    this.ruled[row] = NONE;
    this.#name[row] = 0;
    this.seenTime[row] = 0;
    this.seenTimeNs[row] = 0;
    this.seenSize[row] = 0;
  }

  #bucket(inoLow: number, device: number): number {
    return (
      (Math.imul(inoLow ^ Math.imul(device, 0x9e3779b1), 0x85ebca6b) >>> 8) &
      (this.#buckets.length - 1)
    );
  }

  #identify(row: number, id: Identity): void {
    this.device[row] = id.device;
    this.inoHigh[row] = id.inoHigh;
    this.inoLow[row] = id.inoLow;
    this.birth[row] = id.birth;
    this.birthNs[row] = id.birthNs;
  }

  #link(row: number): void {
    const bucket = this.#bucket(this.inoLow[row] as number, this.device[row] as number);
    this.#next[row] = this.#buckets[bucket] as number;
    this.#buckets[bucket] = row;
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
    const rows = this.reuse.length;
    if (this.#used === rows) {
      const step = Math.min(rows, Math.max(STEP, rows >>> 2));
      if (rows >= NODES_MAX || !this.#grow(Math.min(rows + step, NODES_MAX))) return NONE;
    }
    return this.#used++;
  }

  /** False when the record has no room for so many. */
  #grow(rows: number): boolean {
    if (this.record.grow(HEADER.nodeRows, rows) < 0) return false;
    const before = this.#buckets;
    this.#bind(rows);
    for (const first of before) {
      for (let row = first; row !== NONE; ) {
        const next = this.#next[row] as number;
        this.#link(row);
        row = next;
      }
    }
    return true;
  }

  #bind(rows: number): void {
    const { record } = this;
    this.reuse = record.u32(NODE.reuse, rows);
    this.lookups = record.u32(NODE.lookups, rows);
    this.mount = record.u32(NODE.mount, rows);
    this.device = record.u32(NODE.device, rows);
    this.inoHigh = record.u32(NODE.inoHigh, rows);
    this.inoLow = record.u32(NODE.inoLow, rows);
    this.birth = record.u32(NODE.birth, rows);
    this.birthNs = record.u32(NODE.birthNs, rows);
    this.parent = record.i32(NODE.parent, rows);
    this.parentReuse = record.u32(NODE.parentReuse, rows);
    this.#name = record.u32(NODE.name, rows);
    this.madeWith = record.u32(NODE.madeWith, rows);
    this.seenTime = record.u32(NODE.seenTime, rows);
    this.seenTimeNs = record.u32(NODE.seenTimeNs, rows);
    this.seenSize = record.u32(NODE.seenSize, rows);
    this.toldTime = record.u32(NODE.toldTime, rows);
    this.toldTimeNs = record.u32(NODE.toldTimeNs, rows);
    this.toldSize = record.u32(NODE.toldSize, rows);
    if (rows === 0) return;
    this.fd = grown(this.fd, rows);
    this.cacheSlot = grown(this.cacheSlot, rows);
    this.handle = grown(this.handle, rows);
    this.ruled = grown(this.ruled, rows);
    this.#next = grown(this.#next, rows);
    // A power of two, which `#bucket` relies on.
    this.#buckets = new Int32Array(2 ** Math.ceil(Math.log2(rows))).fill(NONE);
  }

  /** Takes over the rows that another process left. */
  #restore(): void {
    const rows = this.reuse.length;
    const held = this.#heldRows(rows);
    const names: number[] = [];
    for (let row = 1; row < rows; row++) {
      if ((this.lookups[row] as number) > 0 || held[row] === 1) {
        this.#check(row);
        this.#used = row + 1;
        this.count++;
        this.#link(row);
        if (this.#name[row] !== 0) names.push(this.#name[row] as number);
      } else if (this.#wasUsed(row)) {
        this.#used = row + 1;
      }
    }
    for (let row = this.#used - 1; row > 0; row--) {
      if ((this.lookups[row] as number) > 0 || held[row] === 1) continue;
      this.#clear(row);
      this.#next[row] = this.#free;
      this.#free = row;
    }
    this.#names.restore(names);
  }

  /** Rows that the record's handles are open on. */
  #heldRows(rows: number): Uint8Array {
    const held = new Uint8Array(rows);
    const handles = this.record.rows(HEADER.handleRows);
    const state = this.record.u8(HANDLE.state, handles);
    const node = this.record.i32(HANDLE.node, handles);
    for (let handle = 1; handle < handles; handle++) {
      if (state[handle] !== 0) held[node[handle] as number] = 1;
    }
    return held;
  }

  #check(row: number): void {
    const sound =
      this.#wasUsed(row) &&
      (this.reuse[row] as number) <= REUSE_MASK &&
      (this.madeWith[row] as number) < POLICIES &&
      (this.parent[row] as number) < this.reuse.length;
    if (!sound) throw new DamagedRecord(`node ${row} is none`);
  }

  /** Whether the row ever was an inode: one has a number or a device. */
  #wasUsed(row: number): boolean {
    return this.inoLow[row] !== 0 || this.inoHigh[row] !== 0 || this.device[row] !== 0;
  }
}
