/**
 * Names of the nodes' hints, in a record: a length of one byte, the name, a NUL,
 * in blocks of whole units. A system call takes a name where it lies.
 *
 * Which blocks are free is not in the record but follows from the names in use.
 */
import type { Bytes } from "../../sys/memory.ts";
import { NAME_MAX } from "../../wire/limits.ts";
import { HEADER, NAME_BYTES_MAX, NAME_UNIT, NAMES } from "./layout.ts";
import { DamagedRecord, type SessionRecord } from "./record.ts";

const NONE = -1;
const UNITS_AT_FIRST = 4096;
const UNITS_MAX = NAME_BYTES_MAX / NAME_UNIT;
/** Units added at once at most: 4 MiB. */
const STEP_MAX = 262_144;
/** Length and NUL around a name. */
const FRAME_BYTES = 2;
const WORDS_A_UNIT = NAME_UNIT / 4;
const BLOCK_UNITS_MAX = Math.ceil((NAME_MAX + FRAME_BYTES) / NAME_UNIT);
const SLASH = 0x2f;
const DOT = 0x2e;

function unitsFor(length: number): number {
  return Math.ceil((length + FRAME_BYTES) / NAME_UNIT);
}

export class NameHeap {
  readonly #record: SessionRecord;
  readonly #address: number;
  #bytes = Buffer.alloc(0) as Bytes;
  #words = new Uint32Array(0);
  /** First free block of each number of units; its first word is the next one, 0 the last. */
  readonly #free = new Uint32Array(BLOCK_UNITS_MAX + 1);
  /** First unit that no block ever had. Unit 0 is zeros, the empty name. */
  #end = 1;
  #units = 0;

  constructor(record: SessionRecord) {
    this.#record = record;
    this.#address = record.address + NAMES.at;
    this.#bind(record.rows(HEADER.nameUnits));
    if (this.#units === 0 && !this.#grow()) throw new Error("Cannot make room for names");
  }

  /** Whether the name at `at` is `text`. */
  is(at: number, text: string): boolean {
    if (at === 0) return text === "";
    const bytes = this.#bytes;
    const start = at * NAME_UNIT;
    const { length } = text;
    if (bytes[start] !== length) return false;
    for (let i = 0; i < length; i++) {
      if (bytes[start + 1 + i] !== text.charCodeAt(i)) return false;
    }
    return true;
  }

  /**
   * Stores `text`, a byte a character; its place, 0 for an empty one, -1 when
   * there is no room or it is too long for a name.
   */
  add(text: string): number {
    const { length } = text;
    if (length === 0) return 0;
    if (length > NAME_MAX) return NONE;
    const at = this.#take(unitsFor(length));
    if (at === NONE) return NONE;
    const bytes = this.#bytes;
    const start = at * NAME_UNIT;
    bytes[start] = length;
    for (let i = 0; i < length; i++) bytes[start + 1 + i] = text.charCodeAt(i);
    bytes[start + 1 + length] = 0;
    return at;
  }

  /** Frees the name at `at`, which nothing in the record points to any more. */
  free(at: number): void {
    if (at !== 0) this.#put(at, unitsFor(this.#bytes[at * NAME_UNIT] as number));
  }

  /** Address of the name at `at`, with its NUL, until it is freed. */
  address(at: number): number {
    return this.#address + at * NAME_UNIT + (at === 0 ? 0 : 1);
  }

  /** The name at `at`, a byte a character. */
  text(at: number): string {
    const start = at * NAME_UNIT + 1;
    return at === 0 ? "" : this.#bytes.latin1Slice(start, start + (this.#bytes[start - 1] ?? 0));
  }

  /**
   * Finds what is free, given where the names in use are. Throws DamagedRecord
   * when one of them is none, or two share a place.
   */
  restore(used: Iterable<number>): void {
    const taken = new Uint8Array(this.#units);
    for (const at of used) {
      const end = at + this.#checked(at);
      for (let unit = at; unit < end; unit++) {
        if (taken[unit] === 1) throw new DamagedRecord("names overlap");
        taken[unit] = 1;
      }
    }
    this.#end = Math.max(taken.lastIndexOf(1) + 1, 1);
    for (let at = 1; at < this.#end; ) {
      let to = at;
      while (taken[to] === 0 && to - at < BLOCK_UNITS_MAX) to++;
      if (to > at) this.#put(at, to - at);
      at = to === at ? at + 1 : to;
    }
  }

  /** Lets go of the record's memory. */
  close(): void {
    this.#bind(0);
  }

  /** Units of the block at `at`, which must be a name that a path may have. */
  #checked(at: number): number {
    const bytes = this.#bytes;
    const start = at * NAME_UNIT + 1;
    const length = bytes[start - 1] ?? 0;
    const units = unitsFor(length);
    if (at >= this.#units || at + units > this.#units || length === 0) {
      throw new DamagedRecord("a name lies outside");
    }
    for (let i = 0; i < length; i++) {
      const byte = bytes[start + i];
      if (byte === 0 || byte === SLASH) throw new DamagedRecord("a name is no name");
    }
    const dots =
      bytes[start] === DOT && (length === 1 || (length === 2 && bytes[start + 1] === DOT));
    if (dots || bytes[start + length] !== 0) throw new DamagedRecord("a name is no name");
    return units;
  }

  /** A block of `units`, or -1. */
  #take(units: number): number {
    const free = this.#free[units] as number;
    if (free !== 0) return this.#pop(units);
    if (this.#end + units <= this.#units || this.#grow()) {
      const at = this.#end;
      this.#end += units;
      return at;
    }
    for (let larger = units + 1; larger <= BLOCK_UNITS_MAX; larger++) {
      if (this.#free[larger] === 0) continue;
      const at = this.#pop(larger);
      this.#put(at + units, larger - units);
      return at;
    }
    return NONE;
  }

  #pop(units: number): number {
    const at = this.#free[units] as number;
    this.#free[units] = this.#words[at * WORDS_A_UNIT] as number;
    return at;
  }

  #put(at: number, units: number): void {
    this.#words[at * WORDS_A_UNIT] = this.#free[units] as number;
    this.#free[units] = at;
  }

  #grow(): boolean {
    const units = this.#units;
    const next = Math.min(Math.max(UNITS_AT_FIRST, 2 * units), units + STEP_MAX, UNITS_MAX);
    if (next - this.#end < BLOCK_UNITS_MAX) return false;
    if (this.#record.grow(HEADER.nameUnits, next) < 0) return false;
    this.#bind(next);
    return true;
  }

  #bind(units: number): void {
    const bytes = this.#record.u8(NAMES, units);
    this.#bytes = Buffer.from(bytes.buffer) as Bytes;
    this.#words = new Uint32Array(bytes.buffer);
    this.#units = units;
  }
}
