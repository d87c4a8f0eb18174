/**
 * Which programs a keeper has, in a file on a tmpfs that it has mapped: the next keeper finds
 * there what one that was killed has left. A program has a slot from its start to its end.
 *
 *     | pid u32 | outlives u32 | when it was started, f64: ms since boot | … PROGRAMS_MAX of them
 */
import { cstring } from "../../sys/cstring.ts";
import { errnoText } from "../../sys/errno.ts";
import { fallocate } from "../../sys/io.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, openat } from "../../sys/open.ts";
import { bufferAt, mapShared } from "../../sys/sharedmemory.ts";
import { PROGRAMS_MAX } from "../../wire/limits.ts";

const SLOT_BYTES = 16;
const SLOT_WORDS = SLOT_BYTES / 4;
const BYTES = PROGRAMS_MAX * SLOT_BYTES;
const OWNER_ALONE = 0o600;

/** What a slot says of its program. */
export interface Slot {
  readonly index: number;
  readonly pid: number;
  readonly outlives: boolean;
  readonly startedMs: number;
}

export class ProgramSlots {
  readonly #words: Uint32Array;
  readonly #times: Float64Array;
  readonly #free: number[] = [];

  /** Maps the file at `path`, which is made where there is none; throws a sentence. */
  constructor(path: string) {
    const flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    const fd = openat(AT_FDCWD, cstring(path), flags, OWNER_ALONE);
    const made = fd < 0 ? fd : fallocate(fd, 0, 0, BYTES);
    const address = made < 0 ? made : mapShared(fd, BYTES);
    if (fd >= 0) close(fd);
    if (address < 0) throw new Error(`Cannot keep programs in ${path}: ${errnoText(-address)}`);
    const buffer = bufferAt(address, BYTES);
    this.#words = new Uint32Array(buffer);
    this.#times = new Float64Array(buffer);
    for (let index = PROGRAMS_MAX - 1; index >= 0; index--) {
      if (this.#words[index * SLOT_WORDS] === 0) this.#free.push(index);
    }
  }

  /** Those that are taken. */
  taken(): Slot[] {
    const slots: Slot[] = [];
    for (let index = 0; index < PROGRAMS_MAX; index++) {
      const at = index * SLOT_WORDS;
      const pid = this.#words[at] as number;
      if (pid === 0) continue;
      const startedMs = this.#times[index * 2 + 1] as number;
      slots.push({ index, pid, outlives: this.#words[at + 1] === 1, startedMs });
    }
    return slots;
  }

  /** Takes a slot for a program; -1 where there is none. */
  take(pid: number, outlives: boolean, startedMs: number): number {
    const index = this.#free.pop();
    if (index === undefined) return -1;
    const at = index * SLOT_WORDS;
    this.#words[at + 1] = outlives ? 1 : 0;
    this.#times[index * 2 + 1] = startedMs;
    // Last: one that is half written is not there.
    Atomics.store(this.#words, at, pid);
    return index;
  }

  /** Its program is over. */
  release(index: number): void {
    if (index < 0) return;
    Atomics.store(this.#words, index * SLOT_WORDS, 0);
    this.#free.push(index);
  }
}
