/**
 * Requests of the kernel that the server has not answered: one row per slot of
 * the session, in columns, so that a request costs no allocation.
 */
import { SLOTS_MAX } from "../wire/limits.ts";

/** What became of a row. */
export const State = {
  FREE: 0,
  /** The kernel waits for the answer. */
  ASKED: 1,
  /** The kernel was answered early; what the server still sends is cleaned up. */
  ABANDONED: 2,
  /** Nobody in the kernel waits: the request was our own. */
  OWN: 3,
} as const;

export class Pending {
  readonly state = new Uint8Array(SLOTS_MAX);
  readonly sequence = new Float64Array(SLOTS_MAX);
  readonly opcode = new Uint8Array(SLOTS_MAX);
  readonly op = new Uint8Array(SLOTS_MAX);
  readonly uniqueLow = new Uint32Array(SLOTS_MAX);
  readonly uniqueHigh = new Uint32Array(SLOTS_MAX);
  readonly nodeLow = new Uint32Array(SLOTS_MAX);
  readonly nodeHigh = new Uint32Array(SLOTS_MAX);
  readonly pid = new Uint32Array(SLOTS_MAX);
  readonly startedNs = new Float64Array(SLOTS_MAX);
  /** Two numbers of the request that its answer needs. */
  readonly first = new Float64Array(SLOTS_MAX);
  readonly second = new Float64Array(SLOTS_MAX);
  readonly #free: Uint16Array;
  #freeCount: number;
  readonly #slots: number;

  /** `slots`: how many the server granted. */
  constructor(slots: number) {
    this.#slots = slots;
    this.#free = Uint16Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#freeCount = slots;
  }

  get hasRoom(): boolean {
    return this.#freeCount > 0;
  }

  /** Slots in use. */
  get count(): number {
    return this.#slots - this.#freeCount;
  }

  /** Takes a free slot; `hasRoom` must be true. Its sequence number is the next one. */
  take(): number {
    const slot = this.#free[--this.#freeCount] as number;
    this.sequence[slot] = (this.sequence[slot] as number) + 1;
    return slot;
  }

  /** Gives a slot back. */
  release(slot: number): void {
    this.state[slot] = State.FREE;
    this.#free[this.#freeCount++] = slot;
  }

  /** Whether `slot` waits for the answer with `sequence`. */
  expects(slot: number, sequence: number): boolean {
    return (
      slot < this.#slots && this.state[slot] !== State.FREE && this.sequence[slot] === sequence
    );
  }

  /** Slot of the kernel's request `unique`, or -1. */
  find(uniqueLow: number, uniqueHigh: number): number {
    for (let slot = 0; slot < this.#slots; slot++) {
      if (
        this.state[slot] === State.ASKED &&
        this.uniqueLow[slot] === uniqueLow &&
        this.uniqueHigh[slot] === uniqueHigh
      ) {
        return slot;
      }
    }
    return -1;
  }

  /** Calls `visit` for every slot that the kernel waits for. */
  forEachAsked(visit: (slot: number) => void): void {
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.state[slot] === State.ASKED) visit(slot);
    }
  }
}
