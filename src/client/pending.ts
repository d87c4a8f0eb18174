/**
 * Requests of the kernel that the server has not answered: one row per slot of
 * the session, in columns, so that a request costs no allocation. The columns
 * outlive the process (record.ts): a row is filled before its state says so.
 */
import { SLOTS_MAX } from "../wire/limits.ts";
import { ClientRecord, Head } from "./record.ts";

/** What became of a row. */
export const State = {
  FREE: 0,
  /** The kernel waits for the answer. */
  ASKED: 1,
  /** The kernel was answered early; what the server still sends is cleaned up. */
  ABANDONED: 2,
  /** Nobody in the kernel waits: the request was our own. */
  OWN: 3,
  /** The kernel is being answered: if it asks again, the answer did not reach it. */
  ANSWERED: 4,
} as const;

/** The bit of a request's number that the kernel sets when it sends it again (linux/fuse.h). */
export const RESENT_BIT = 0x8000_0000;

export class Pending {
  readonly state: Uint8Array;
  readonly sequence: Float64Array;
  readonly opcode: Uint8Array;
  readonly op: Uint8Array;
  readonly uniqueLow: Uint32Array;
  readonly uniqueHigh: Uint32Array;
  readonly nodeLow: Uint32Array;
  readonly nodeHigh: Uint32Array;
  readonly pid: Uint32Array;
  readonly startedNs = new Float64Array(SLOTS_MAX);
  /** Two numbers of the request that its answer needs. */
  readonly first: Float64Array;
  readonly second: Float64Array;
  /** The request's place among all that were asked. */
  readonly order: Float64Array;
  /** One-way messages that were written before it. */
  readonly onewaysBefore: Float64Array;
  /** Whether the server was asked to answer at once. */
  readonly cancelled: Uint8Array;
  readonly #record: ClientRecord;
  /** The slot that was taken last. */
  last = 0;
  #free = new Uint16Array(0);
  #freeCount = 0;
  #slots = 0;

  /** `slots`: how many the server granted. */
  constructor(slots: number, record = new ClientRecord()) {
    this.#record = record;
    this.state = record.bytes();
    this.opcode = record.bytes();
    this.op = record.bytes();
    this.cancelled = record.bytes();
    this.sequence = record.numbers();
    this.first = record.numbers();
    this.second = record.numbers();
    this.order = record.numbers();
    this.onewaysBefore = record.numbers();
    this.uniqueLow = record.words();
    this.uniqueHigh = record.words();
    this.nodeLow = record.words();
    this.nodeHigh = record.words();
    this.pid = record.words();
    this.grant(slots);
  }

  /** Sets how many slots there are and finds those that are free. */
  grant(slots: number): void {
    this.#slots = slots;
    const free = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#free = new Uint16Array(slots);
    this.#free.set(free.filter((slot) => this.state[slot] === State.FREE));
    this.#freeCount = free.filter((slot) => this.state[slot] === State.FREE).length;
  }

  /** Forgets all requests: a new session's slots begin at sequence 1. */
  reset(slots: number): void {
    this.state.fill(State.FREE);
    this.sequence.fill(0);
    this.grant(slots);
  }

  get hasRoom(): boolean {
    return this.#freeCount > 0;
  }

  /** Slots in use. */
  get count(): number {
    return this.#slots - this.#freeCount;
  }

  /**
   * Takes a free slot as our own; `hasRoom` must be true. Its sequence number is the next
   * one, counted after the slot is marked: what the server never gets can be skipped then.
   */
  take(): number {
    const slot = this.#free[--this.#freeCount] as number;
    this.last = slot;
    this.opcode[slot] = 0;
    this.op[slot] = 0;
    this.state[slot] = State.OWN;
    this.sequence[slot] = (this.sequence[slot] as number) + 1;
    this.cancelled[slot] = 0;
    const asked = this.#record.get(Head.ASKED) + 1;
    this.#record.set(Head.ASKED, asked);
    this.order[slot] = asked;
    this.onewaysBefore[slot] = this.#record.get(Head.ONEWAYS);
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

  /** Slot of the kernel's request `unique`, sent again or not, or -1. */
  find(uniqueLow: number, uniqueHigh: number): number {
    const high = (uniqueHigh | RESENT_BIT) >>> 0;
    for (let slot = 0; slot < this.#slots; slot++) {
      if (
        this.state[slot] === State.ASKED &&
        this.uniqueLow[slot] === uniqueLow &&
        ((this.uniqueHigh[slot] as number) | RESENT_BIT) >>> 0 === high
      ) {
        return slot;
      }
    }
    return -1;
  }

  /** What was about to be answered is not: its answer could not be understood. */
  reopen(): void {
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.state[slot] === State.ANSWERED) this.state[slot] = State.ASKED;
    }
  }

  /** Slot of the kernel's request `unique`, also of one that was being answered, or -1. */
  findAny(uniqueLow: number, uniqueHigh: number): number {
    const asked = this.find(uniqueLow, uniqueHigh);
    if (asked >= 0) return asked;
    const high = (uniqueHigh & ~RESENT_BIT) >>> 0;
    return (
      this.inOrder().findLast(
        (slot) =>
          (this.state[slot] === State.ABANDONED || this.state[slot] === State.ANSWERED) &&
          this.uniqueLow[slot] === uniqueLow &&
          ((this.uniqueHigh[slot] as number) & ~RESENT_BIT) >>> 0 === high,
      ) ?? -1
    );
  }

  /** Calls `visit` for every slot that the kernel waits for. */
  forEachAsked(visit: (slot: number) => void): void {
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.state[slot] === State.ASKED) visit(slot);
    }
  }

  /** Slots in use, in the order in which they were asked. */
  inOrder(): number[] {
    const used: number[] = [];
    for (let slot = 0; slot < this.#slots; slot++) {
      if (this.state[slot] !== State.FREE) used.push(slot);
    }
    return used.sort((a, b) => (this.order[a] as number) - (this.order[b] as number));
  }
}
