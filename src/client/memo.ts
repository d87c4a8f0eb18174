/**
 * What the server has just told and the kernel will ask for next, so that it
 * can be answered without asking again: the attributes of directories whose
 * entries we changed, and that a file we made has no file capabilities. Nothing
 * here outlives a change that the server tells of, or MEMO_NS.
 */

import { type Attributes, emptyAttributes, readAttributes } from "../wire/attributes.ts";
import { Policy } from "../wire/constants.ts";
import type { Reader } from "../wire/reader.ts";
import { nodeKey } from "./nodekey.ts";

const DIRECTORIES = 8;
const FILES = 64;
/** The kernel asks within the system call that follows. */
const MEMO_NS = 20e6;

/** Directories that we changed of late, and how long that is. */
const CHANGED_MAX = 256;
const CHANGED_NS = 2e9;

interface Directory {
  high: number;
  low: number;
  atNs: number;
  readonly attributes: Attributes;
}

export class Memo {
  readonly #directories: Directory[] = Array.from({ length: DIRECTORIES }, () => ({
    high: 0,
    low: 0,
    atNs: 0,
    attributes: emptyAttributes(),
  }));
  #nextDirectory = 0;
  readonly #changed = new Map<number, number>();
  readonly #fileHigh = new Uint32Array(FILES);
  readonly #fileLow = new Uint32Array(FILES);
  #nextFile = 0;

  /** Reads a directory's attributes, which are next in an answer. */
  readDirectory(high: number, low: number, reader: Reader): void {
    let entry = this.#directories.find((d) => d.low === low && d.high === high);
    if (entry === undefined) {
      entry = this.#directories[this.#nextDirectory] as Directory;
      this.#nextDirectory = (this.#nextDirectory + 1) % DIRECTORIES;
    }
    readAttributes(reader, entry.attributes);
    const usable = entry.attributes.policy !== Policy.UNKNOWN;
    entry.high = high;
    entry.low = low;
    entry.atNs = usable ? Bun.nanoseconds() : 0;
  }

  /** A directory's attributes, once, if they were told just now. */
  takeDirectory(high: number, low: number): Attributes | undefined {
    for (const entry of this.#directories) {
      if (entry.low !== low || entry.high !== high || entry.atNs === 0) continue;
      const fresh = Bun.nanoseconds() - entry.atNs < MEMO_NS;
      entry.atNs = 0;
      return fresh ? entry.attributes : undefined;
    }
    return undefined;
  }

  /** A file was made just now: it has no extended attributes of its own. */
  noteFile(high: number, low: number): void {
    this.#fileHigh[this.#nextFile] = high;
    this.#fileLow[this.#nextFile] = low;
    this.#nextFile = (this.#nextFile + 1) % FILES;
  }

  /** Whether the node was made just now and not changed since, but for its data. */
  isNewFile(high: number, low: number): boolean {
    for (let i = 0; i < FILES; i++) {
      if (this.#fileLow[i] === low && this.#fileHigh[i] === high) return low !== 0;
    }
    return false;
  }

  /** Nothing that is remembered may be relied on any more. */
  clear(): void {
    for (const entry of this.#directories) entry.atNs = 0;
    this.#fileLow.fill(0);
  }

  /** A name of the directory is about to change. */
  changes(high: number, low: number): void {
    const key = nodeKey(high, low);
    this.#changed.delete(key);
    if (this.#changed.size >= CHANGED_MAX) {
      const oldest = this.#changed.keys().next();
      if (!oldest.done) this.#changed.delete(oldest.value);
    }
    this.#changed.set(key, Bun.nanoseconds());
  }

  /**
   * Whether the directory is being changed by us. The kernel must not keep its
   * entries then: a reader that it began before a change may add what it was told
   * to the pages that one began after it (fs/fuse/readdir.c compares no version
   * where an entry is added), and they would pass for the directory as it is.
   */
  isChanging(high: number, low: number): boolean {
    const atNs = this.#changed.get(nodeKey(high, low));
    return atNs !== undefined && Bun.nanoseconds() - atNs < CHANGED_NS;
  }

  /** A node changed, or is gone. */
  drop(high: number, low: number): void {
    for (const entry of this.#directories) {
      if (entry.low === low && entry.high === high) entry.atNs = 0;
    }
    for (let i = 0; i < FILES; i++) {
      if (this.#fileLow[i] === low && this.#fileHigh[i] === high) this.#fileLow[i] = 0;
    }
  }
}
