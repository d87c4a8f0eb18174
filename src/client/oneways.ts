/**
 * One-way messages (forgets, releases) from when they are said until the server
 * has surely got them: a ring in the record. They are numbered, as the server
 * numbers what it gets, so that after a cut each arrives exactly once.
 */
import { allocate } from "../sys/memory.ts";
import { Writer } from "../wire/writer.ts";
import { type ClientRecord, Head, ONEWAYS_BYTES } from "./record.ts";

/** The longest message: forgets, see client.ts. */
const MESSAGE_MAX = 8192;
/** Room that a request of the kernel may need: with less, no more are taken. */
const RESERVE_BYTES = 32 * 1024;
/** Before each message: its length and its number. */
const PREFIX_BYTES = 8;
/** Instead of a length: the ring goes on at its start. */
const WRAP = 0xffff_ffff;

export class Oneways {
  readonly #record: ClientRecord;
  readonly #writer = new Writer(allocate(MESSAGE_MAX));
  /** Messages sent on the present connection's account, and where the next one lies. */
  #sent = 0;
  #sentAt = 0;

  constructor(record: ClientRecord) {
    this.#record = record;
    this.#recover();
    this.rewind(record.get(Head.ONEWAYS_GOT));
  }

  /** Whether messages wait to be sent. */
  get waiting(): boolean {
    return this.#sent < this.#record.get(Head.ONEWAYS);
  }

  /** Messages sent so far. */
  get sent(): number {
    return this.#sent;
  }

  /** Bytes that are free. */
  get #room(): number {
    return ONEWAYS_BYTES - (this.#record.get(Head.RING_TAIL) - this.#record.get(Head.RING_HEAD));
  }

  /** Whether there is room for what a request may lead to. */
  get hasRoom(): boolean {
    return this.#room >= RESERVE_BYTES;
  }

  /** Whether it is time to ask the server for a sign that it got the messages. */
  get wantsSign(): boolean {
    return this.#room < ONEWAYS_BYTES / 2;
  }

  /** Whether a message of forgets fits and leaves room for releases. */
  get hasRoomForForgets(): boolean {
    return this.#room >= 2 * RESERVE_BYTES;
  }

  /** Where the header of a message is written; `end` completes it. */
  begin(): Writer {
    this.#writer.at = 0;
    return this.#writer;
  }

  /** Adds the message that was written. It is in the ring before it is counted, which makes it valid. */
  end(): void {
    const record = this.#record;
    const { bytes, view } = record.oneways;
    const length = this.#writer.at;
    const size = PREFIX_BYTES + ((length + 3) & ~3);
    let tail = record.get(Head.RING_TAIL);
    if (size > this.#room - size) throw new Error("There are more one-way messages than room");
    let at = tail % ONEWAYS_BYTES;
    if (at + size > ONEWAYS_BYTES) {
      view.setUint32(at, WRAP, true);
      tail += ONEWAYS_BYTES - at;
      at = 0;
    }
    const count = record.get(Head.ONEWAYS) + 1;
    view.setUint32(at, length, true);
    view.setUint32(at + 4, count >>> 0, true);
    bytes.set(this.#writer.bytes.subarray(0, length), at + PREFIX_BYTES);
    record.set(Head.RING_TAIL, tail + size);
    record.set(Head.ONEWAYS, count);
  }

  /** Adds it as what came of the kernel's request `unique`. */
  endFor(uniqueLow: number, uniqueHigh: number): void {
    // First, so that the number says nothing before the message is counted.
    this.#record.set(Head.RELEASED_BY, this.#record.get(Head.ONEWAYS) + 1);
    this.#record.set(Head.RELEASED_LOW, uniqueLow);
    this.#record.set(Head.RELEASED_HIGH, uniqueHigh);
    this.end();
  }

  /** Whether the last message added by `endFor` came of that request, which the kernel sends again. */
  isFor(uniqueLow: number, uniqueHigh: number): boolean {
    const record = this.#record;
    return (
      record.get(Head.RELEASED_LOW) === uniqueLow &&
      record.get(Head.RELEASED_HIGH) === uniqueHigh &&
      record.get(Head.ONEWAYS) >= record.get(Head.RELEASED_BY)
    );
  }

  /** Copies the next message that was not sent to `w`. */
  send(w: Writer): void {
    const at = this.#start(this.#sentAt) % ONEWAYS_BYTES;
    const { bytes, view } = this.#record.oneways;
    const length = view.getUint32(at, true);
    w.bytes.set(bytes.subarray(at + PREFIX_BYTES, at + PREFIX_BYTES + length), w.at);
    w.at += length;
    this.#sentAt = this.#after(this.#sentAt);
    this.#sent++;
  }

  /** The server has the first `count` messages. */
  got(count: number): void {
    const record = this.#record;
    while (record.get(Head.ONEWAYS_GOT) < count) {
      const head = this.#after(record.get(Head.RING_HEAD));
      record.set(Head.ONEWAYS_GOT, record.get(Head.ONEWAYS_GOT) + 1);
      record.set(Head.RING_HEAD, head);
    }
  }

  /** Whether the server may say that it has `count` messages. */
  isPossible(count: number): boolean {
    return count >= this.#record.get(Head.ONEWAYS_GOT) && count <= this.#record.get(Head.ONEWAYS);
  }

  /** Goes on after the first `count` messages, which the server has, on a new connection. */
  rewind(count: number): void {
    this.got(count);
    this.#sent = this.#record.get(Head.ONEWAYS_GOT);
    this.#sentAt = this.#record.get(Head.RING_HEAD);
  }

  /** Forgets all: a new session begins. */
  reset(): void {
    for (const field of [Head.ONEWAYS, Head.ONEWAYS_GOT, Head.RING_TAIL, Head.RING_HEAD]) {
      this.#record.set(field, 0);
    }
    this.rewind(0);
  }

  /** Puts right what a process left that died between two stores: the counts are what is valid. */
  #recover(): void {
    const record = this.#record;
    const got = record.get(Head.ONEWAYS_GOT);
    const count = record.get(Head.ONEWAYS) - got;
    let head = count === 0 ? 0 : record.get(Head.RING_HEAD);
    const number = record.oneways.view.getUint32((this.#start(head) % ONEWAYS_BYTES) + 4, true);
    if (count > 0 && number === got >>> 0) head = this.#after(head);
    let tail = head;
    for (let i = 0; i < count; i++) tail = this.#after(tail);
    record.set(Head.RING_HEAD, head);
    record.set(Head.RING_TAIL, tail);
  }

  /** Where the message at `position` really begins. */
  #start(position: number): number {
    const at = position % ONEWAYS_BYTES;
    return this.#record.oneways.view.getUint32(at, true) === WRAP
      ? position + ONEWAYS_BYTES - at
      : position;
  }

  /** Where the message after the one at `position` is. */
  #after(position: number): number {
    const start = this.#start(position);
    const length = this.#record.oneways.view.getUint32(start % ONEWAYS_BYTES, true);
    return start + PREFIX_BYTES + ((length + 3) & ~3);
  }
}
