/**
 * Bytes that have come and cannot go on yet: at most a stream's window of them where
 * their credit is given back when they go, or a message and a window.
 */
import { read } from "../sys/io.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { MESSAGE_MAX, PROGRAM_WINDOW_MAX, STREAM_SPLICED_MAX } from "../wire/limits.ts";

/** Bytes that one holds at most: a message with its length, and the largest window. */
const CAPACITY = 4 + MESSAGE_MAX + PROGRAM_WINDOW_MAX;
/** Buffers that are kept for the next who needs one. */
const SPARE_MAX = 16;
const spare: Region[] = [];
const room = allocate(STREAM_SPLICED_MAX);

export class Backlog {
  #region: Region | undefined;
  /** Bytes lie at [#head, #tail) of the region. */
  #head = 0;
  #tail = 0;

  get length(): number {
    return this.#tail - this.#head;
  }

  /** Where the first byte lies. */
  get address(): number {
    return (this.#region?.address ?? 0) + this.#head;
  }

  /** Keeps a copy of `bytes`; RangeError where there would be too many. */
  put(bytes: Uint8Array): void {
    if (this.length + bytes.length > CAPACITY) {
      throw new RangeError(`A backlog of more than ${CAPACITY} bytes`);
    }
    if (bytes.length === 0) return;
    this.#region ??= spare.pop() ?? allocate(CAPACITY);
    if (this.#tail + bytes.length > CAPACITY) {
      this.#region.bytes.copyWithin(0, this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
    this.#region.bytes.set(bytes, this.#tail);
    this.#tail += bytes.length;
  }

  /** Keeps `length` bytes that pipe `fd` holds, at most STREAM_SPLICED_MAX. */
  putPipe(fd: number, length: number): void {
    for (let left = length; left > 0; ) {
      const got = read(fd, room.address, left);
      if (got <= 0) throw new Error(`Cannot read what came in a pipe: errno ${-got}`);
      this.put(room.bytes.subarray(0, got));
      left -= got;
    }
  }

  /** The first `n` bytes, good until the next call. */
  first(n: number): Uint8Array {
    if (this.#region === undefined) return new Uint8Array(0);
    return this.#region.bytes.subarray(this.#head, this.#head + n);
  }

  /** The first `n` bytes have been taken. */
  drop(n: number): void {
    this.#head += n;
    if (this.#head === this.#tail) this.clear();
  }

  /** Forgets all, and gives the memory back. */
  clear(): void {
    const region = this.#region;
    this.#region = undefined;
    this.#head = 0;
    this.#tail = 0;
    if (region === undefined) return;
    if (spare.length < SPARE_MAX) spare.push(region);
    else free(region);
  }
}
