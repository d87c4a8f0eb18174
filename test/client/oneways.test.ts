/** One-way messages in their ring, and what is left of them when a process dies between two stores. */
import { describe, expect, test } from "bun:test";
import { Oneways } from "../../src/client/oneways.ts";
import { ClientRecord, Head, ONEWAYS_BYTES, RECORD_BYTES } from "../../src/client/record.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import { Writer } from "../../src/wire/writer.ts";
import { random, seedFor } from "../support/random.ts";

const HEAD_BYTES = 4096;

/** Writes a message that says `number`, `length` bytes long. */
function fill(oneways: Oneways, number: number, length: number): void {
  const w = oneways.begin();
  w.bytes.fill(number & 0xff, 0, length);
  w.view.setUint32(0, number, true);
  w.at = length;
}

function add(oneways: Oneways, number: number, length = 8): void {
  fill(oneways, number, length);
  oneways.end();
}

const sent = new Writer(allocate(16_384));

/** The next message to be sent: its number; throws unless it is whole. */
function next(oneways: Oneways): number {
  sent.at = 0;
  oneways.send(sent);
  const number = sent.view.getUint32(0, true);
  for (let i = 4; i < sent.at; i++) {
    if (sent.bytes[i] !== (number & 0xff)) throw new Error(`Message ${number} is not whole`);
  }
  return number;
}

/** Numbers of all messages that wait to be sent. */
function all(oneways: Oneways): number[] {
  const numbers: number[] = [];
  while (oneways.waiting) numbers.push(next(oneways));
  return numbers;
}

function span(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

describe("messages", () => {
  test("are sent once, in their order", () => {
    const oneways = new Oneways(new ClientRecord());
    expect(oneways.waiting).toBe(false);
    for (const number of [1, 2, 3]) add(oneways, number, 4 + number);
    expect(all(oneways)).toEqual([1, 2, 3]);
    expect(oneways.sent).toBe(3);
    add(oneways, 4);
    expect(all(oneways)).toEqual([4]);
  });

  test("that the server has are not sent again, the others are", () => {
    const oneways = new Oneways(new ClientRecord());
    for (const number of span(1, 6)) add(oneways, number);
    all(oneways);
    oneways.got(2);
    oneways.rewind(4);
    expect(oneways.sent).toBe(4);
    expect(all(oneways)).toEqual([5, 6]);
    oneways.rewind(4);
    expect(all(oneways)).toEqual([5, 6]);
    oneways.got(3);
    expect(oneways.waiting).toBe(false);
  });

  test("are as many as the server may say, and no others", () => {
    const oneways = new Oneways(new ClientRecord());
    for (const number of span(1, 5)) add(oneways, number);
    oneways.got(2);
    expect([1, 2, 5, 6].map((count) => oneways.isPossible(count))).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });

  test("begin at nothing in a new session", () => {
    const oneways = new Oneways(new ClientRecord());
    for (const number of span(1, 5)) add(oneways, number);
    oneways.got(3);
    oneways.reset();
    expect([oneways.waiting, oneways.sent, oneways.isPossible(0)]).toEqual([false, 0, true]);
    add(oneways, 9);
    expect(all(oneways)).toEqual([9]);
  });
});

describe("the ring", () => {
  test("wraps with messages of all lengths", () => {
    const seed = seedFor("oneways");
    const { below } = random(seed);
    const oneways = new Oneways(new ClientRecord());
    let [added, received, got] = [0, 0, 0];
    while (added < 3000) {
      while (oneways.hasRoom) add(oneways, ++added, 4 + below(8188));
      while (oneways.waiting && below(40) > 0) expect(next(oneways)).toBe(++received);
      got += below(received - got + 1);
      oneways.got(got);
    }
    expect(all(oneways)).toEqual(span(received + 1, added));
    oneways.rewind(got);
    expect(all(oneways)).toEqual(span(got + 1, added));
  });

  test("says that it is full long before it is", () => {
    const oneways = new Oneways(new ClientRecord());
    let added = 0;
    while (oneways.hasRoom) add(oneways, ++added, 8192);
    expect(added * 8192).toBeGreaterThan(ONEWAYS_BYTES / 2);
    expect(oneways.wantsSign).toBe(true);
    expect(oneways.hasRoomForForgets).toBe(false);
    // What one request may still lead to.
    add(oneways, ++added, 8192);
    expect(all(oneways)).toEqual(span(1, added));
    oneways.got(added);
    expect([oneways.hasRoom, oneways.wantsSign, oneways.hasRoomForForgets]).toEqual([
      true,
      false,
      true,
    ]);
  });

  test("refuses what it has no room for, and stays whole", () => {
    const oneways = new Oneways(new ClientRecord());
    let added = 0;
    expect(() => {
      while (added < 1000) {
        add(oneways, added + 1, 8000);
        added++;
      }
    }).toThrow("more one-way messages than room");
    expect(all(oneways)).toEqual(span(1, added));
  });
});

describe("a message that came of a request of the kernel", () => {
  test("is known by it, until the next such message", () => {
    const oneways = new Oneways(new ClientRecord());
    fill(oneways, 1, 8);
    oneways.endFor(7, 1);
    add(oneways, 2);
    expect(oneways.isFor(7, 1)).toBe(true);
    expect(oneways.isFor(7, 0)).toBe(false);
    fill(oneways, 3, 8);
    oneways.endFor(9, 1);
    expect(oneways.isFor(7, 1)).toBe(false);
    expect(oneways.isFor(9, 1)).toBe(true);
  });

  test("is known by it in the next process, unless it was not counted", () => {
    const region = allocate(RECORD_BYTES);
    const record = new ClientRecord(region);
    const oneways = new Oneways(record);
    fill(oneways, 1, 8);
    oneways.endFor(7, 1);
    expect(new Oneways(new ClientRecord(region)).isFor(7, 1)).toBe(true);
    record.set(Head.RELEASED_LOW, 8);
    record.set(Head.RELEASED_BY, 2);
    expect(new Oneways(new ClientRecord(region)).isFor(8, 1)).toBe(false);
  });
});

/** A record whose every store is followed by a look at what it would leave. */
class Watched extends ClientRecord {
  onStore = () => {};

  constructor() {
    super(allocate(RECORD_BYTES));
    const { bytes, view } = this.oneways;
    const [store, copy] = [view.setUint32.bind(view), bytes.set.bind(bytes)];
    view.setUint32 = (at, value, littleEndian) => {
      store(at, value, littleEndian);
      this.onStore();
    };
    bytes.set = (source, at) => {
      copy(source, at);
      this.onStore();
    };
  }

  override set(field: number, value: number): void {
    super.set(field, value);
    this.onStore();
  }
}

test("a process may die between any two stores: what was counted is sent, and nothing else", () => {
  const { below } = random(seedFor("oneways that die"));
  const record = new Watched();
  const remains = allocate(RECORD_BYTES);
  const corpse = new ClientRecord(remains);
  /** Messages that were completed, those that the server surely has, and those it can have. */
  const counts = { ended: 0, beginning: 0, got: 0, getting: 0 };
  let looks = 0;
  const look = () => {
    looks++;
    remains.bytes.set(new Uint8Array(record.head.buffer, record.head.byteOffset, HEAD_BYTES), 0);
    corpse.oneways.bytes.set(record.oneways.bytes, 0);
    const found = new Oneways(corpse);
    // A request whose message is known is not told of once more.
    if (found.isFor(counts.beginning, 0)) expect(corpse.get(Head.ONEWAYS)).toBe(counts.beginning);
    const numbers = all(found);
    const first = numbers[0] ?? counts.ended + 1;
    const last = numbers.at(-1) ?? first - 1;
    expect(numbers).toEqual(span(first, last));
    expect([counts.ended, counts.beginning]).toContain(last);
    expect(first).toBeGreaterThan(counts.got);
    expect(first).toBeLessThanOrEqual(counts.getting + 1);
    // The next process adds and lets go of messages as if nothing had been.
    add(found, last + 1, 8192);
    found.rewind(Math.min(first, last));
    expect(all(found)).toEqual(span(Math.min(first, last) + 1, last + 1));
    expect(corpse.get(Head.ONEWAYS)).toBe(last + 1);
  };
  const oneways = new Oneways(record);
  record.onStore = look;
  while (counts.ended < 250) {
    counts.beginning = counts.ended + 1;
    fill(oneways, counts.beginning, 4 + below(8188));
    if (below(2) === 0) oneways.end();
    else oneways.endFor(counts.beginning, 0);
    counts.ended = counts.beginning;
    if (counts.ended - counts.got < 12) continue;
    counts.getting = counts.ended - below(8);
    oneways.got(counts.getting);
    counts.got = counts.getting;
  }
  expect(looks).toBeGreaterThan(1000);
  free(remains);
});
