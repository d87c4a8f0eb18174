/**
 * Answers that the kernel is given later: its request's slot is free, what is to be said is
 * known and kept, and only something here has to be done first. A process that takes over
 * gets these requests once more from the kernel (Linux 6.9), as new ones.
 */
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import { isDying, PATIENCE_NS } from "../callers.ts";
import type { Client } from "../client.ts";

/** Answers that may be kept at once; others are given without waiting. */
export const PARKED_MAX = 8192;
/** Of an answer that is kept: an entry's, or attributes. */
export const PARKED_BYTES = 256;
/** How long one is kept at most. */
export const PARK_MS = 5000;
const NS_PER_MS = 1e6;

/** Number of a request, in halves. */
export type Unique = readonly [low: number, high: number];

/** An answer that is kept. */
export class Parked {
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
  readonly pid: number;
  readonly sinceNs = Bun.nanoseconds();
  readonly bytes: Uint8Array;
  /** Called if nobody waits for it any more. */
  readonly dropped: () => void;

  constructor(unique: Unique, pid: number, bytes: Uint8Array, dropped: () => void) {
    [this.uniqueLow, this.uniqueHigh] = unique;
    this.pid = pid;
    this.bytes = bytes;
    this.dropped = dropped;
  }
}

export class ParkedAnswers {
  readonly #client: Client;
  readonly #all = new Set<Parked>();
  readonly #given = allocate(PARKED_BYTES);

  constructor(client: Client) {
    this.#client = client;
  }

  get count(): number {
    return this.#all.size;
  }

  /**
   * Keeps the answer of `length` bytes that is in the answer's body for the request of `slot`;
   * undefined where there are too many, or it is longer than PARKED_BYTES. Who wants it given calls `answer`.
   */
  park(slot: number, length: number, dropped: () => void): Parked | undefined {
    const { pid, uniqueHigh, uniqueLow } = this.#client.pending;
    const unique = [uniqueLow[slot] as number, uniqueHigh[slot] as number] as const;
    return this.parkFor(unique, pid[slot] as number, length, dropped);
  }

  /** The same for request `unique` of thread `pid`. */
  parkFor(unique: Unique, pid: number, length: number, dropped: () => void): Parked | undefined {
    if (this.#all.size >= PARKED_MAX || length > PARKED_BYTES) return undefined;
    const { answerBody, fuse } = this.#client;
    const bytes = Uint8Array.from(fuse.answer.bytes.subarray(answerBody, answerBody + length));
    const parked = new Parked(unique, pid, bytes, dropped);
    this.#all.add(parked);
    return parked;
  }

  /**
   * Gives the kernel the answer, unless nobody waits for it any more. The answer's body is left
   * alone: another may be half made there when the twin process is heard.
   */
  answer(parked: Parked): void {
    if (!this.#all.delete(parked)) return;
    const { bytes, uniqueHigh, uniqueLow } = parked;
    this.#given.bytes.set(bytes);
    this.#client.fuse.replyData(uniqueLow, uniqueHigh, this.#given.address, bytes.length);
  }

  /** Gives the kernel the answer, or `errno` unless that is 0. */
  end(parked: Parked, errno: number): void {
    if (errno === 0) this.answer(parked);
    else if (this.#all.has(parked)) this.#drop(parked, errno);
  }

  /** Has the kernel ask again, for what was found is not true any more: ESTALE makes it walk the path anew. */
  askAgain(parked: Parked): void {
    if (this.#all.has(parked)) this.#drop(parked, E.ESTALE);
  }

  /** The kernel says that the caller of request `unique` has a signal. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    for (const parked of this.#all) {
      if (parked.uniqueLow !== uniqueLow || parked.uniqueHigh !== uniqueHigh) continue;
      if (isDying(parked.pid)) this.#drop(parked, E.EINTR);
      return;
    }
  }

  /** Answers callers that are dying, and all who have waited long enough: how many of these. */
  check(): number {
    const now = Bun.nanoseconds();
    let late = 0;
    for (const parked of this.#all) {
      const age = now - parked.sinceNs;
      if (age > PARK_MS * NS_PER_MS) {
        this.answer(parked);
        late++;
      } else if (age > PATIENCE_NS && isDying(parked.pid)) this.#drop(parked, E.EINTR);
    }
    return late;
  }

  /** Answers all callers with `errno`. */
  failAll(errno: number): void {
    for (const parked of this.#all) this.#drop(parked, errno);
  }

  #drop(parked: Parked, errno: number): void {
    this.#all.delete(parked);
    this.#client.fuse.replyErrno(parked.uniqueLow, parked.uniqueHigh, errno);
    parked.dropped();
  }
}
