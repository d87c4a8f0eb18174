/**
 * Between the reactor and the thread that makes ghost operations (ghost.worker.ts), in
 * shared memory: happenings for that thread to repeat on the mount, and the nodes that
 * programs watch, which it has found. Both are rings with one writer and one reader.
 */
import { STATX_STRUCT_SIZE } from "../../sys/stat.ts";
import { NAME_MAX } from "../../wire/limits.ts";

const PLACES = 512;
const NAME_WORDS = 64;
/** Words of a happening: numbers, then two names. */
const NUMBERS = 12;
const WORDS = NUMBERS + 2 * NAME_WORDS;
const FOUND_PLACES = 1024;
const FOUND_WORDS = 4;

/** Single words at the beginning. */
const Word = {
  /** The thread's id, 0 until it runs. */
  TID: 0,
  /** Whether the thread makes the operation that repeats the first happening of the ring. */
  REPEATING: 1,
  TAIL: 2,
  HEAD: 3,
  FOUND_TAIL: 4,
  FOUND_HEAD: 5,
  /** Happenings that could not be repeated. */
  FAILED: 6,
} as const;
const HEADER_WORDS = 16;
/** Attributes that the kernel has of an inode, as struct statx. */
const STATUS_AT = HEADER_WORDS;
const RING_AT = STATUS_AT + STATX_STRUCT_SIZE / 4;
const FOUND_AT = RING_AT + PLACES * WORDS;
const BYTES = (FOUND_AT + FOUND_PLACES * FOUND_WORDS) * 4;

/** Something that happened on the HOST, as in the event HAPPENED. */
export interface Happened {
  kinds: number;
  high: number;
  low: number;
  name: string;
  toHigh: number;
  toLow: number;
  toName: string;
  nodeHigh: number;
  nodeLow: number;
  /** Device number of the superblock that it is in, and which directories are its root: ROOT bits. */
  device: number;
  roots: number;
  /** Notices that the kernel must have taken in before, as NoticeQueue counts them. */
  notices: number;
}

/** Of `roots`: the directory is the root, the one that is moved to is. */
export const Root = { FROM: 1, TO: 2 } as const;

/** A node that programs have begun to watch, or watch no more. */
export interface Found {
  /** As the kernel calls it in the superblock with this device number. */
  high: number;
  low: number;
  device: number;
  on: boolean;
}

export class GhostChannel {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(shared = new SharedArrayBuffer(BYTES)) {
    this.shared = shared;
    this.#words = new Int32Array(shared);
    this.#bytes = new Uint8Array(shared);
  }

  /** Id of the thread whose requests are ghost operations; 0: there is none. */
  get tid(): number {
    return this.#words[Word.TID] as number;
  }

  set tid(tid: number) {
    this.#words[Word.TID] = tid;
  }

  /** The happening that the thread repeats at the moment, unless it only prepares for that. */
  get repeated(): Happened | undefined {
    return Atomics.load(this.#words, Word.REPEATING) === 1 ? this.peek() : undefined;
  }

  /** The thread is about to repeat the happening it looked at, or has done so. */
  set repeating(on: boolean) {
    Atomics.store(this.#words, Word.REPEATING, on ? 1 : 0);
  }

  get failed(): number {
    return Atomics.load(this.#words, Word.FAILED);
  }

  countFailure(): void {
    Atomics.add(this.#words, Word.FAILED, 1);
  }

  /** What the kernel has of the inode that is about to be touched: struct statx. */
  set status(bytes: Uint8Array) {
    this.#bytes.set(bytes.subarray(0, STATX_STRUCT_SIZE), STATUS_AT * 4);
  }

  get status(): DataView {
    return new DataView(this.shared, STATUS_AT * 4, STATX_STRUCT_SIZE);
  }

  /** Adds a happening, false when there is no room. */
  put(h: Happened): boolean {
    const words = this.#words;
    const tail = Atomics.load(words, Word.TAIL);
    if (((tail - Atomics.load(words, Word.HEAD)) | 0) >= PLACES) return false;
    const at = RING_AT + ((tail >>> 0) % PLACES) * WORDS;
    const { kinds, high, low, toHigh, toLow, nodeHigh, nodeLow, notices } = h;
    words.set([kinds, high, low, toHigh, toLow, nodeHigh, nodeLow, notices], at);
    words.set([h.device, h.roots], at + 10);
    words[at + 8] = this.#putName(at + NUMBERS, h.name);
    words[at + 9] = this.#putName(at + NUMBERS + NAME_WORDS, h.toName);
    Atomics.store(words, Word.TAIL, (tail + 1) | 0);
    return true;
  }

  /** The next happening, or the one that is being repeated; undefined when there is none. */
  peek(): Happened | undefined {
    const words = this.#words;
    const head = Atomics.load(words, Word.HEAD);
    if (head === Atomics.load(words, Word.TAIL)) return undefined;
    const at = RING_AT + ((head >>> 0) % PLACES) * WORDS;
    const number = (i: number) => (words[at + i] as number) >>> 0;
    return {
      kinds: number(0),
      high: number(1),
      low: number(2),
      toHigh: number(3),
      toLow: number(4),
      nodeHigh: number(5),
      nodeLow: number(6),
      notices: words[at + 7] as number,
      device: number(10),
      roots: number(11),
      name: this.#name(at + NUMBERS, number(8)),
      toName: this.#name(at + NUMBERS + NAME_WORDS, number(9)),
    };
  }

  /** Whether every happening has been repeated. */
  get isEmpty(): boolean {
    return Atomics.load(this.#words, Word.HEAD) === Atomics.load(this.#words, Word.TAIL);
  }

  /** The happening that was looked at is done with. */
  done(): void {
    Atomics.add(this.#words, Word.HEAD, 1);
  }

  /** Adds a node that was found; false when there is no room until the reactor has looked. */
  putFound({ high, low, device, on }: Found): boolean {
    const words = this.#words;
    const tail = Atomics.load(words, Word.FOUND_TAIL);
    if (((tail - Atomics.load(words, Word.FOUND_HEAD)) | 0) >= FOUND_PLACES) return false;
    words.set(
      [high, low, device, on ? 1 : 0],
      FOUND_AT + ((tail >>> 0) % FOUND_PLACES) * FOUND_WORDS,
    );
    Atomics.store(words, Word.FOUND_TAIL, (tail + 1) | 0);
    return true;
  }

  takeFound(): Found | undefined {
    const words = this.#words;
    const head = Atomics.load(words, Word.FOUND_HEAD);
    if (head === Atomics.load(words, Word.FOUND_TAIL)) return undefined;
    const at = FOUND_AT + ((head >>> 0) % FOUND_PLACES) * FOUND_WORDS;
    const number = (i: number) => (words[at + i] as number) >>> 0;
    const found = { high: number(0), low: number(1), device: number(2), on: number(3) === 1 };
    Atomics.store(words, Word.FOUND_HEAD, (head + 1) | 0);
    return found;
  }

  #putName(at: number, name: string): number {
    const length = Math.min(name.length, NAME_MAX);
    for (let i = 0; i < length; i++) this.#bytes[at * 4 + i] = name.charCodeAt(i);
    return length;
  }

  #name(at: number, length: number): string {
    return Buffer.from(this.#bytes.subarray(at * 4, at * 4 + length)).toString("latin1");
  }
}
