/**
 * What a lookup has just told of a node that nothing is believed of for any time (Policy.LIVE,
 * or -o cache=never): the same system call goes on to ask for its attributes, to check permissions or for stat(2).
 * Answered from here they are as they were within that call. The caller's thread and one
 * use tell that it is the same call, and a bound on the time where it had no use for them.
 */
import { type Attributes, copyAttributes, emptyAttributes } from "../wire/attributes.ts";

/** Threads that look names up at once; a power of two. */
const THREADS = 32;
/** Between the answer to a lookup and the question that follows lies nothing but the kernel's work. */
const FRESH_NS = 1e6;

interface LookedUp {
  pid: number;
  high: number;
  low: number;
  /** 0: of no use. */
  atNs: number;
  readonly attributes: Attributes;
}

export class LookedUpNodes {
  readonly #freshNs: number;
  /** Whether any may be of use. */
  #any = false;
  readonly #entries: LookedUp[] = Array.from({ length: THREADS }, () => ({
    pid: 0,
    high: 0,
    low: 0,
    atNs: 0,
    attributes: emptyAttributes(),
  }));

  /** `freshNs`: how long they are of use. */
  constructor(freshNs = FRESH_NS) {
    this.#freshNs = freshNs;
  }

  /** The thread `pid` was told `attributes` of the node just now. */
  put(pid: number, high: number, low: number, attributes: Attributes): void {
    const entry = this.#entries[pid & (THREADS - 1)] as LookedUp;
    entry.pid = pid;
    entry.high = high;
    entry.low = low;
    entry.atNs = Bun.nanoseconds();
    copyAttributes(attributes, entry.attributes);
    this.#any = true;
  }

  /** What the thread `pid` was told of the node, once, if that was the last it was told. */
  take(pid: number, high: number, low: number): Attributes | undefined {
    const entry = this.#entries[pid & (THREADS - 1)] as LookedUp;
    if (entry.atNs === 0 || entry.pid !== pid) return undefined;
    const isFresh = Bun.nanoseconds() - entry.atNs < this.#freshNs;
    entry.atNs = 0;
    return isFresh && entry.low === low && entry.high === high ? entry.attributes : undefined;
  }

  /** The node is about to change, or has changed. */
  drop(high: number, low: number): void {
    if (!this.#any) return;
    for (const entry of this.#entries) {
      if (entry.low === low && entry.high === high) entry.atNs = 0;
    }
  }

  clear(): void {
    if (!this.#any) return;
    this.#any = false;
    for (const entry of this.#entries) entry.atNs = 0;
  }
}
