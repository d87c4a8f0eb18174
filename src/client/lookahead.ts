/**
 * Lookups ahead of the kernel's. A program that stats the files of a directory
 * one by one (git status, make) costs a round trip a file; so after a few of
 * them the whole directory is read at once, and the lookups that follow are
 * answered from here. Only what the server watches is kept, until it is asked
 * for, changes, or LOOKAHEAD_NS have passed; then the server is told to forget.
 */
import { type Attributes, emptyAttributes } from "../wire/attributes.ts";

/** Lookups in one directory, within CLOSE_NS of each other, that begin a lookahead. */
const TRIGGER = 3;
const CLOSE_NS = 20e6;
const LOOKAHEAD_NS = 1e9;
/** Directories looked ahead in at once, and entries of one that are taken. */
const DIRECTORIES_MAX = 16;
export const LOOKAHEAD_ENTRIES = 512;
const WATCHED_DIRECTORIES_MAX = 64;

/** An entry the kernel has not asked for yet. */
export interface Ahead {
  high: number;
  low: number;
  readonly attributes: Attributes;
}

interface Directory {
  readonly entries: Map<string, Ahead>;
  readonly sinceNs: number;
}

interface Count {
  lookups: number;
  lastNs: number;
}

export class Lookahead {
  readonly #directories = new Map<number, Directory>();
  readonly #counts = new Map<number, Count>();
  /** Changes of our own so far: what was read while one was under way may be older than it. */
  changes = 0;
  /** Tells the server that an entry will not be asked for. */
  readonly #forget: (entry: Ahead) => void;

  constructor(forget: (entry: Ahead) => void) {
    this.#forget = forget;
  }

  /** Whether anything is kept. */
  get active(): boolean {
    return this.#directories.size > 0;
  }

  /** The entry `name` of a directory, once. */
  take(directory: number, name: string): Ahead | undefined {
    const entries = this.#directories.get(directory)?.entries;
    const entry = entries?.get(name);
    if (entry !== undefined) entries?.delete(name);
    return entry;
  }

  /** A lookup in `directory` found something: true when it is time to look ahead in it. */
  found(directory: number): boolean {
    if (this.#directories.has(directory)) return false;
    const now = Bun.nanoseconds();
    const count = this.#counts.get(directory);
    if (count === undefined) {
      if (this.#counts.size >= WATCHED_DIRECTORIES_MAX) this.#counts.clear();
      this.#counts.set(directory, { lookups: 1, lastNs: now });
      return false;
    }
    count.lookups = now - count.lastNs < CLOSE_NS ? count.lookups + 1 : 1;
    count.lastNs = now;
    if (count.lookups !== TRIGGER) return false;
    if (this.#directories.size >= DIRECTORIES_MAX) this.#dropOldest();
    this.#directories.set(directory, { entries: new Map(), sinceNs: now });
    return true;
  }

  /** Keeps an entry of a directory that is looked ahead in, with a copy of `attributes`. */
  keep(directory: number, name: string, high: number, low: number, attributes: Attributes): void {
    const entry = { high, low, attributes: Object.assign(emptyAttributes(), attributes) };
    const target = this.#directories.get(directory)?.entries;
    if (target === undefined || target.has(name)) this.#forget(entry);
    else target.set(name, entry);
  }

  /** A name of a directory changed, or all of them if none is given. */
  dropName(directory: number, name?: string): void {
    this.changes++;
    const entries = this.#directories.get(directory)?.entries;
    if (entries === undefined) return;
    for (const [key, entry] of entries) {
      if (name !== undefined && key !== name) continue;
      entries.delete(key);
      this.#forget(entry);
    }
  }

  /** A node changed. */
  dropNode(high: number, low: number): void {
    this.changes++;
    for (const { entries } of this.#directories.values()) {
      for (const [name, entry] of entries) {
        if (entry.low !== low || entry.high !== high) continue;
        entries.delete(name);
        this.#forget(entry);
      }
    }
  }

  /** Lets go of what nobody asked for in time. */
  expire(): void {
    const before = Bun.nanoseconds() - LOOKAHEAD_NS;
    for (const [directory, { sinceNs }] of this.#directories) {
      if (sinceNs < before) this.#drop(directory);
    }
  }

  /** Lets go of everything: what is kept may be old. */
  clear(): void {
    for (const directory of [...this.#directories.keys()]) this.#drop(directory);
    this.#counts.clear();
  }

  #dropOldest(): void {
    const oldest = this.#directories.keys().next();
    if (!oldest.done) this.#drop(oldest.value);
  }

  /** Gives a directory up whose entries may be old. */
  giveUp(directory: number): void {
    this.#drop(directory);
  }

  #drop(directory: number): void {
    this.dropName(directory);
    this.#directories.delete(directory);
  }
}
