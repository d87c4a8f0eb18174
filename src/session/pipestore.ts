/**
 * Payloads that go from a pipe of a program's to the connection as references to pages:
 * splice(2) takes them, tee(2) keeps them until the peer has acknowledged them. What has to be
 * sent over another connection is read to memory then.
 *
 * Of what was taken, the payload that is being sent lies in one pipe (`waiting`), all that are
 * not acknowledged in another one (`kept`). The first is so small that the second, which counts
 * references and not bytes (pipe(7)), has room for what it may hold.
 */

import { cstring } from "../sys/cstring.ts";
import {
  pipe2,
  read,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
  setPipeSize,
  splice,
  tee,
} from "../sys/io.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_NONBLOCK, O_WRONLY, openat } from "../sys/open.ts";
import { SPLICE_KEPT_MAX, STREAM_CHUNK_MAX, STREAM_SPLICED_MAX } from "../wire/limits.ts";

const FLAGS = SPLICE_F_NONBLOCK | SPLICE_F_MOVE;

type Pipe = [readEnd: number, writeEnd: number];

export class PipeStore {
  readonly #waiting: Pipe;
  readonly #kept: Pipe;
  readonly #nothing: number;
  readonly #keptMax: number;
  /** Bytes of one payload. */
  readonly payloadMax: number;
  /** Payloads kept, and what was read of them to memory. */
  #count = 0;
  #memory: Region | undefined;
  #loaded = 0;

  private constructor(
    waiting: Pipe,
    kept: Pipe,
    nothing: number,
    payloadMax: number,
    keptMax: number,
  ) {
    this.#waiting = waiting;
    this.#kept = kept;
    this.#nothing = nothing;
    this.payloadMax = payloadMax;
    this.#keptMax = keptMax;
  }

  /** undefined where there are no more descriptors, or pipes cannot be as large as is needed. */
  static make(): PipeStore | undefined {
    const waiting = pipe2(O_CLOEXEC | O_NONBLOCK);
    const kept = pipe2(O_CLOEXEC | O_NONBLOCK);
    const nothing = openat(AT_FDCWD, cstring("/dev/null"), O_WRONLY | O_CLOEXEC, 0);
    if (typeof waiting !== "number" && typeof kept !== "number" && nothing >= 0) {
      const all = setPipeSize(kept[1], SPLICE_KEPT_MAX);
      const wide = setPipeSize(waiting[1], STREAM_SPLICED_MAX);
      const each = wide > 0 ? wide : setPipeSize(waiting[1], STREAM_CHUNK_MAX);
      if (each > 0 && all >= each)
        return new PipeStore(waiting, kept, nothing, each, Math.floor(all / each));
    }
    for (const fd of [waiting, kept, nothing].flat()) if (fd >= 0) close(fd);
    return undefined;
  }

  /** Whether another payload can be taken once the one before it has been sent. */
  get hasRoom(): boolean {
    return this.#count < this.#keptMax && this.#memory === undefined;
  }

  /** Takes at most `max` bytes of pipe `fd` as the next payload, needs `hasRoom`: how many, 0 at its end, or -errno. */
  take(fd: number, max: number): number {
    const got = splice(fd, this.#waiting[1], max, FLAGS);
    if (got <= 0) return got;
    const kept = tee(this.#waiting[0], this.#kept[1], got, SPLICE_F_NONBLOCK);
    if (kept !== got) throw new Error(`A pipe keeps ${kept} of ${got} bytes`);
    this.#count++;
    return got;
  }

  /** Where what is left of the payload that was taken last can be read. */
  get fd(): number {
    return this.#waiting[0];
  }

  /** The oldest payload, of `length` bytes, is not needed any more. */
  drop(length: number): void {
    this.#count--;
    if (this.#memory === undefined) this.#discard(this.#kept[0], length);
    else if (this.#count === 0) this.#forget();
  }

  /** Reads all payloads kept, `length` bytes, to memory, if they are not there yet: the address of the first. */
  load(length: number): number {
    this.#discard(this.#waiting[0], this.payloadMax);
    if (this.#memory !== undefined) return this.#memory.address + this.#loaded - length;
    const memory = allocate(length);
    this.#memory = memory;
    this.#loaded = length;
    for (let at = 0; at < length; ) {
      const got = read(this.#kept[0], memory.address + at, length - at);
      if (got <= 0) throw new Error(`Cannot read what was kept in a pipe: errno ${-got}`);
      at += got;
    }
    return memory.address;
  }

  close(): void {
    this.#forget();
    for (const fd of [...this.#waiting, ...this.#kept, this.#nothing]) close(fd);
  }

  #discard(fd: number, length: number): void {
    for (let left = length; left > 0; ) {
      const gone = splice(fd, this.#nothing, left, FLAGS);
      if (gone <= 0) return;
      left -= gone;
    }
  }

  #forget(): void {
    if (this.#memory !== undefined) free(this.#memory);
    this.#memory = undefined;
  }
}
