/**
 * Invalidations on their way from the reactor to the thread that gives them to
 * the kernel: a ring in shared memory. That thread may wait for a lock which a
 * request holds that the reactor has yet to answer, so the reactor never waits
 * for it: what the ring has no room for stays here, once a node or name.
 */
import { ProtocolError } from "../wire/error.ts";
import { NAME_MAX } from "../wire/limits.ts";

const PLACES = 512;
/** Notices that may wait here: a server that tells more, faster, is not to fill the memory. */
const WAITING_MAX = 262_144;
/** Words of a notice: kind, node high, node low, name length, descriptor; then the name. */
const WORDS = 5 + 64;
const NAME_WORD = 5;
const HEADER_WORDS = 4;
const TAIL = 0;
const HEAD = 1;
const STOP = 2;
/** Notices that the kernel has taken in. */
const DONE = 3;

/**
 * NAMES: all names everywhere, and that others do not exist. GONE: a name is not just asked for
 * again, but dropped, with what it keeps. UNUSED: a node is forgotten if nobody uses it.
 */
export const NoticeKind = {
  ATTRIBUTES: 1,
  DATA: 2,
  ENTRY: 3,
  NAMES: 4,
  GONE: 5,
  UNUSED: 6,
} as const;

/** Stands for the descriptor of the first superblock. */
export const FIRST = -1;

/** A notice as the thread reads it. */
export interface Notice {
  kind: number;
  /** Descriptor of the superblock's channel; that of the first one if it is absent. */
  fd?: number;
  high: number;
  low: number;
  name: string;
}

export class NoticeQueue {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  /** Notices that wait for room, by what they are about. */
  readonly #waiting = new Map<string, Notice>();

  constructor(shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((HEADER_WORDS + PLACES * WORDS) * 4);
    this.#words = new Int32Array(this.shared);
    this.#bytes = new Uint8Array(this.shared);
  }

  /** Adds a notice, never waiting. */
  put(notice: Notice): void {
    if (this.#waiting.size === 0 && this.#push(notice)) return;
    if (this.#waiting.size >= WAITING_MAX) {
      throw new ProtocolError("more changes were told than the kernel can be told in time");
    }
    this.#waiting.set(
      `${notice.fd ?? FIRST}:${notice.kind}:${notice.high}:${notice.low}:${notice.name}`,
      notice,
    );
  }

  /** Moves what waits into the ring, as far as there is room. */
  settle(): void {
    for (const [key, notice] of this.#waiting) {
      if (!this.#push(notice)) return;
      this.#waiting.delete(key);
    }
  }

  /** Whether notices wait for room. */
  get waits(): boolean {
    return this.#waiting.size > 0;
  }

  /** The next notice; waits for one. Undefined when told to stop. */
  take(): Notice | undefined {
    const words = this.#words;
    this.#noteDone();
    while (Atomics.load(words, STOP) === 0) {
      const tail = Atomics.load(words, TAIL);
      const head = Atomics.load(words, HEAD);
      if (head === tail) {
        Atomics.wait(words, TAIL, tail);
        continue;
      }
      const at = HEADER_WORDS + ((head >>> 0) % PLACES) * WORDS;
      const nameAt = (at + NAME_WORD) * 4;
      const length = words[at + 3] as number;
      const notice = {
        kind: words[at] as number,
        fd: words[at + 4] as number,
        high: (words[at + 1] as number) >>> 0,
        low: (words[at + 2] as number) >>> 0,
        name: Buffer.from(this.#bytes.subarray(nameAt, nameAt + length)).toString("latin1"),
      };
      Atomics.store(words, HEAD, (head + 1) | 0);
      return notice;
    }
    return undefined;
  }

  /** Notices so far, those that wait for room too: see `waitFor`. */
  get count(): number {
    return (Atomics.load(this.#words, TAIL) + this.#waiting.size) | 0;
  }

  /** Waits until the kernel has taken in the first `count` notices, for at most `boundMs`. */
  waitFor(count: number, boundMs: number): void {
    const words = this.#words;
    const endMs = performance.now() + boundMs;
    let done = Atomics.load(words, DONE);
    while (((done - count) | 0) < 0 && performance.now() < endMs) {
      Atomics.wait(words, DONE, done, Math.max(1, endMs - performance.now()));
      done = Atomics.load(words, DONE);
    }
  }

  /** Every notice that was taken has been told to the kernel. */
  #noteDone(): void {
    const words = this.#words;
    Atomics.store(words, DONE, Atomics.load(words, HEAD));
    Atomics.notify(words, DONE);
  }

  stop(): void {
    Atomics.store(this.#words, STOP, 1);
    Atomics.notify(this.#words, TAIL);
  }

  #push(notice: Notice): boolean {
    const words = this.#words;
    const tail = Atomics.load(words, TAIL);
    if (((tail - Atomics.load(words, HEAD)) | 0) >= PLACES || notice.name.length > NAME_MAX) {
      return false;
    }
    const at = HEADER_WORDS + ((tail >>> 0) % PLACES) * WORDS;
    words[at] = notice.kind;
    words[at + 1] = notice.high;
    words[at + 2] = notice.low;
    words[at + 3] = notice.name.length;
    words[at + 4] = notice.fd ?? FIRST;
    const nameAt = (at + NAME_WORD) * 4;
    for (let i = 0; i < notice.name.length; i++)
      this.#bytes[nameAt + i] = notice.name.charCodeAt(i);
    Atomics.store(words, TAIL, (tail + 1) | 0);
    Atomics.notify(words, TAIL);
    return true;
  }
}
