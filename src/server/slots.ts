/**
 * The slots of one session: which request each had last, and what is kept of it
 * for a repetition. All that must outlive this process lies in one region of
 * fixed layout; a region that another process left behind is taken over as it is.
 *
 *     0         8        64
 *     | oneways | events | columns: f64, u32, u16, u8 … | answers … |
 *
 * Stores are in this order, so that a process may end between any two: a request
 * that is RUNNING had begun and may have changed something, DONE is written when
 * its answer lies there whole.
 */
import type { Region } from "../sys/memory.ts";
import { REPLAY_MAX, SLOTS_MAX } from "../wire/limits.ts";

const HEADER_BYTES = 64;
/** Places of the header, in f64. */
const ONEWAYS = 0;
const EVENTS = 1;
/** Per slot: four f64, two u32, one u16, two u8, and the answer. */
const SLOT_BYTES = 4 * 8 + 2 * 4 + 2 + 2 + REPLAY_MAX;

/** Least bytes of the region that the slots of a session lie in. */
export const SLOTS_BYTES = HEADER_BYTES + SLOTS_MAX * SLOT_BYTES;

/** What is known of a slot's last request. */
const State = {
  /** It changes nothing, or there was none. */
  IDLE: 0,
  /** It changes something and was begun. */
  RUNNING: 1,
  /** Its answer is kept. */
  DONE: 2,
} as const;

/** Operation of a request that was cancelled before it came. */
export const NEVER_CAME = 0;

const PAIRS_AT_FIRST = 64;
const NS_PER_MS = 1e6;
const UNKNOWN = -1;

export class Slots {
  readonly #region: Region;
  readonly #header: Float64Array;
  readonly #sequences: Float64Array;
  readonly #keptSequences: Float64Array;
  readonly #startedNs: Float64Array;
  readonly #notes: Float64Array;
  readonly #countedHigh: Uint32Array;
  readonly #countedLow: Uint32Array;
  readonly #keptLengths: Uint16Array;
  readonly #ops: Uint8Array;
  readonly #states: Uint8Array;
  readonly #answersAt: number;

  /** Slots whose request is under way in another thread of this process. */
  readonly #busy = new Uint8Array(SLOTS_MAX);
  /** Connection that each slot's last answer went to. */
  readonly #answeredOn = new Float64Array(SLOTS_MAX);
  #connection = 0;
  /** Lookups that each slot's last request has counted. */
  readonly #counted = new Uint32Array(SLOTS_MAX);
  /** The second one and all that follow, in halves; made when a slot first needs it. */
  readonly #more: (Uint32Array | undefined)[] = [];

  /** `region`: SLOTS_BYTES of zeros, or what other slots left behind; the caller's to free. */
  constructor(region: Region) {
    this.#region = region;
    const { buffer } = region.view;
    let at = region.view.byteOffset;
    const take = (bytes: number) => {
      at += bytes;
      return at - bytes;
    };
    const column = (bytes: number) => take(bytes * SLOTS_MAX);
    this.#header = new Float64Array(buffer, take(HEADER_BYTES), HEADER_BYTES / 8);
    this.#sequences = new Float64Array(buffer, column(8), SLOTS_MAX);
    this.#keptSequences = new Float64Array(buffer, column(8), SLOTS_MAX);
    this.#startedNs = new Float64Array(buffer, column(8), SLOTS_MAX);
    this.#notes = new Float64Array(buffer, column(8), SLOTS_MAX);
    this.#countedHigh = new Uint32Array(buffer, column(4), SLOTS_MAX);
    this.#countedLow = new Uint32Array(buffer, column(4), SLOTS_MAX);
    this.#keptLengths = new Uint16Array(buffer, column(2), SLOTS_MAX);
    this.#ops = new Uint8Array(buffer, column(1), SLOTS_MAX);
    this.#states = new Uint8Array(buffer, column(1), SLOTS_MAX);
    this.#answersAt = at - region.view.byteOffset;
    for (let slot = 0; slot < SLOTS_MAX; slot++) {
      this.#counted[slot] = this.#countedLow[slot] === 0 ? 0 : 1;
    }
  }

  /** ONEWAY frames taken in. */
  get oneways(): number {
    return this.#header[ONEWAYS] as number;
  }

  /** EVENT frames sent, as far as both sides agree. */
  get events(): number {
    return this.#header[EVENTS] as number;
  }

  set events(value: number) {
    this.#header[EVENTS] = value;
  }

  countOneway(): void {
    this.#add(ONEWAYS);
  }

  countEvent(): void {
    this.#add(EVENTS);
  }

  #add(place: number): void {
    this.#header[place] = (this.#header[place] as number) + 1;
  }

  /** Answers go to another connection from now on, or to none. */
  connectionChanged(): void {
    this.#connection++;
  }

  /** Sequence of the slot's last request; 0 if there was none. */
  last(slot: number): number {
    return this.#sequences[slot] as number;
  }

  /** Its operation, or NEVER_CAME. */
  op(slot: number): number {
    return this.#ops[slot] as number;
  }

  /** Takes in the next request of a slot, `changes` (0|1) telling whether it changes something. */
  begin(slot: number, sequence: number, op: number, changes: number): void {
    this.#states[slot] = State.IDLE;
    this.#counted[slot] = 0;
    this.#countedLow[slot] = 0;
    this.#ops[slot] = op;
    if (changes === 1) {
      this.#startedNs[slot] = Date.now() * NS_PER_MS;
      this.#notes[slot] = UNKNOWN;
      this.#states[slot] = State.RUNNING;
    }
    this.#sequences[slot] = sequence;
  }

  /** The slot's request goes on in another thread, or has ended there. */
  setBusy(slot: number, busy: boolean): void {
    this.#busy[slot] = busy ? 1 : 0;
  }

  isBusy(slot: number): boolean {
    return this.#busy[slot] === 1;
  }

  /** The slot's request is being answered on the connection there is. */
  answered(slot: number): void {
    this.#answeredOn[slot] = this.#connection;
  }

  /** Whether the answer went to the connection there is: it arrives, or that connection ends. */
  isAnswered(slot: number): boolean {
    return this.#answeredOn[slot] === this.#connection;
  }

  /** Keeps `source[start..end)` as the answer of the slot's last request. */
  keep(slot: number, source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > REPLAY_MAX) {
      throw new Error(`Answer of operation ${this.op(slot)} exceeds REPLAY_MAX`);
    }
    const { bytes } = this.#region;
    const at = this.#answersAt + slot * REPLAY_MAX;
    for (let i = 0; i < length; i++) bytes[at + i] = source[start + i] as number;
    this.#keptLengths[slot] = length;
    this.#keptSequences[slot] = this.#sequences[slot] as number;
    this.#states[slot] = State.DONE;
  }

  /** Whether the answer of the slot's last request is kept. */
  isKept(slot: number): boolean {
    return this.#states[slot] === State.DONE && this.#keptSequences[slot] === this.#sequences[slot];
  }

  /** The kept answer, good until the slot's next request. */
  kept(slot: number): Uint8Array {
    const at = this.#answersAt + slot * REPLAY_MAX;
    return this.#region.bytes.subarray(at, at + (this.#keptLengths[slot] as number));
  }

  /**
   * Realtime in ns, rounded down to a ms, at which the slot's last request was begun
   * if nobody knows whether it came to its end; 0 otherwise.
   */
  doubtSinceNs(slot: number): number {
    const doubtful = this.#states[slot] === State.RUNNING && this.#busy[slot] === 0;
    return doubtful ? (this.#startedNs[slot] as number) : 0;
  }

  /** What the slot's last request noted before or while it acted, or -1. */
  noted(slot: number): number {
    return this.#notes[slot] as number;
  }

  note(slot: number, value: number): void {
    this.#notes[slot] = value;
  }

  /** The slot's request has counted one more lookup of the node `high:low`. */
  countLookup(slot: number, high: number, low: number): void {
    const count = this.#counted[slot] as number;
    this.#counted[slot] = count + 1;
    if (count === 0) {
      this.#countedHigh[slot] = high;
      this.#countedLow[slot] = low;
      return;
    }
    let more = this.#more[slot];
    if (more === undefined || more.length < 2 * count) {
      const next = new Uint32Array(Math.max(2 * PAIRS_AT_FIRST, 4 * count));
      if (more !== undefined) next.set(more);
      this.#more[slot] = next;
      more = next;
    }
    more[2 * count - 2] = high;
    more[2 * count - 1] = low;
  }

  /** Hands each lookup that the slot's request has counted to `undo`, once. */
  takeLookups(slot: number, undo: (high: number, low: number) => void): void {
    const count = this.#counted[slot] as number;
    this.#counted[slot] = 0;
    if (count === 0) return;
    undo(this.#countedHigh[slot] as number, this.#countedLow[slot] as number);
    this.#countedLow[slot] = 0;
    const more = this.#more[slot];
    for (let i = 0; more !== undefined && i < 2 * (count - 1); i += 2) {
      undo(more[i] as number, more[i + 1] as number);
    }
  }
}
