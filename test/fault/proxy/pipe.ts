/** One direction of one connection: what was received and may not be sent yet. */
import { E } from "../../../src/sys/errno.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { recv, send } from "../../../src/sys/socket.ts";
import { FrameScanner, type FrameStart } from "./frames.ts";

const ROOM_BYTES = 256 * 1024;
/** What is held back at most; the rest stays in the kernel. */
const HELD_MAX = 4 * 1024 * 1024;

const room = allocate(ROOM_BYTES);
const outgoing = allocate(ROOM_BYTES);

/** How everything is slowed down at present. */
export interface Pace {
  delayMs: number;
  /** Bytes that may leave in a millisecond. */
  bytesPerMs: number;
}

export const FULL_PACE: Pace = { delayMs: 0, bytesPerMs: 2 ** 40 };
/** What was not used of the pace is kept this long. */
const BURST_MS = 20;

/** What becomes of a chunk that was received: how much of it passes, and whether that is the end. */
export type Inspect = (bytes: Buffer, starts: FrameStart[]) => { pass: number; last: boolean };

export class Pipe {
  readonly scanner = new FrameScanner();
  /** No reading and no writing while this is set. */
  stalled = false;
  /** The kernel had no room; until poll(2) says that it has. */
  full = false;
  /** The sender has closed. */
  ended = false;
  /** It did so by a reset. */
  wasReset = false;
  /** The receiver's connection is gone. */
  broken = false;
  readonly #from: number;
  readonly #to: number;
  readonly #held: { bytes: Buffer; dueMs: number }[] = [];
  #heldBytes = 0;
  #lastMs = 0;

  constructor(from: number, to: number) {
    this.#from = from;
    this.#to = to;
  }

  get wantsToRead(): boolean {
    return !this.stalled && !this.ended && this.#heldBytes < HELD_MAX;
  }

  /** Nothing more will ever pass. */
  get done(): boolean {
    return this.broken || (this.ended && this.#held.length === 0);
  }

  /** When something is to be sent, in milliseconds; undefined where nothing waits for its time. */
  dueMs(): number | undefined {
    if (this.stalled || this.full || this.broken) return undefined;
    return this.#held[0]?.dueMs;
  }

  /** Takes what has come. Returns true where `inspect` says that it is the last. */
  receive(nowMs: number, pace: Pace, inspect: Inspect): boolean {
    const n = recv(this.#from, room.address, ROOM_BYTES);
    if (n === -E.EAGAIN) return false;
    if (n <= 0) {
      this.ended = true;
      this.wasReset = n < 0;
      return false;
    }
    const bytes = room.bytes.subarray(0, n);
    const { pass, last } = inspect(bytes, this.scanner.scan(bytes));
    if (pass > 0) {
      const kept = Buffer.from(bytes.subarray(0, pass));
      this.#held.push({ bytes: kept, dueMs: nowMs + pace.delayMs });
      this.#heldBytes += pass;
    }
    return last;
  }

  /** Sends what is due, as far as the pace and the kernel let it. */
  flush(nowMs: number, pace: Pace): void {
    const sinceMs = Math.min(nowMs - this.#lastMs, BURST_MS);
    let budget = Math.max(1, Math.floor(pace.bytesPerMs * sinceMs));
    this.#lastMs = nowMs;
    while (budget > 0 && !this.stalled) {
      const first = this.#held[0];
      if (first === undefined || first.dueMs > nowMs) return;
      const part = first.bytes.subarray(0, Math.min(budget, ROOM_BYTES));
      outgoing.bytes.set(part);
      const sent = send(this.#to, outgoing.address, part.length, 0);
      this.full = sent === -E.EAGAIN;
      if (this.full) return;
      if (sent < 0) {
        this.broken = true;
        return;
      }
      budget -= sent;
      this.#heldBytes -= sent;
      first.bytes = first.bytes.subarray(sent);
      if (first.bytes.length === 0) this.#held.shift();
      else if (budget <= 0) first.dueMs = nowMs + 1;
    }
  }
}
