/** The rows of requests that the server has not answered. */
import { describe, expect, test } from "bun:test";
import { Pending, State } from "../../src/client/pending.ts";
import { ClientRecord, RECORD_BYTES } from "../../src/client/record.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import { SLOTS_MAX } from "../../src/wire/limits.ts";

/** Takes a slot as the request `unique` of the kernel. */
function asked(pending: Pending, uniqueLow: number, uniqueHigh = 0): number {
  const slot = pending.take();
  pending.state[slot] = State.ASKED;
  pending.uniqueLow[slot] = uniqueLow;
  pending.uniqueHigh[slot] = uniqueHigh;
  return slot;
}

describe("slots", () => {
  test("are all those granted, each once, the lowest first", () => {
    const pending = new Pending(5);
    expect(pending.count).toBe(0);
    expect(Array.from({ length: 5 }, () => pending.take())).toEqual([0, 1, 2, 3, 4]);
    expect(pending.count).toBe(5);
    expect(pending.hasRoom).toBe(false);
    pending.release(3);
    expect(pending.hasRoom).toBe(true);
    expect(pending.count).toBe(4);
    expect(pending.take()).toBe(3);
  });

  test("may be as many as the protocol has", () => {
    const pending = new Pending(SLOTS_MAX);
    const taken = new Set(Array.from({ length: SLOTS_MAX }, () => pending.take()));
    expect(taken.size).toBe(SLOTS_MAX);
    expect(Math.max(...taken)).toBe(SLOTS_MAX - 1);
    expect(pending.hasRoom).toBe(false);
  });

  test("count their requests, from 1 on", () => {
    const pending = new Pending(1);
    for (let sequence = 1; sequence <= 3; sequence++) {
      const slot = asked(pending, 9);
      expect(pending.sequence[slot]).toBe(sequence);
      pending.release(slot);
    }
  });
});

describe("an answer is expected", () => {
  test("for a slot in use with its sequence alone", () => {
    const pending = new Pending(2);
    const slot = asked(pending, 1);
    expect(pending.expects(slot, 1)).toBe(true);
    expect(pending.expects(slot, 0)).toBe(false);
    expect(pending.expects(slot, 2)).toBe(false);
    expect(pending.expects(slot + 1, 0)).toBe(false);
    expect(pending.expects(2, 1)).toBe(false);
    expect(pending.expects(SLOTS_MAX + 7, 1)).toBe(false);
    pending.release(slot);
    expect(pending.expects(slot, 1)).toBe(false);
  });

  test("for one whose caller is gone, and for our own", () => {
    const pending = new Pending(2);
    for (const state of [State.ABANDONED, State.OWN]) {
      const slot = asked(pending, 1);
      pending.state[slot] = state;
      expect(pending.expects(slot, 1)).toBe(true);
    }
  });
});

describe("requests of the kernel", () => {
  test("are found by both halves of their number", () => {
    const pending = new Pending(4);
    const slots = [asked(pending, 7, 0), asked(pending, 7, 1), asked(pending, 0xffff_ffff, 1)];
    expect(pending.find(7, 1)).toBe(slots[1] as number);
    expect(pending.find(7, 0)).toBe(slots[0] as number);
    expect(pending.find(0xffff_ffff, 1)).toBe(slots[2] as number);
    expect(pending.find(7, 2)).toBe(-1);
  });

  test("are not found once the kernel waits no more", () => {
    const pending = new Pending(4);
    const [free, abandoned, own] = [asked(pending, 1), asked(pending, 2), asked(pending, 3)];
    const waiting = asked(pending, 4);
    pending.release(free);
    pending.state[abandoned] = State.ABANDONED;
    pending.state[own] = State.OWN;
    for (const unique of [1, 2, 3]) expect(pending.find(unique, 0)).toBe(-1);
    const visited: number[] = [];
    pending.forEachAsked((slot) => visited.push(slot));
    expect(visited).toEqual([waiting]);
  });
});

describe("a request that the kernel sends again", () => {
  const RESENT = 0x8000_0000;

  test("is found with the bit that says so, and without", () => {
    const pending = new Pending(4);
    const plain = asked(pending, 7, 1);
    const marked = asked(pending, 8, (1 | RESENT) >>> 0);
    for (const high of [1, (1 | RESENT) >>> 0]) {
      expect(pending.find(7, high)).toBe(plain);
      expect(pending.findAny(7, high)).toBe(plain);
      expect(pending.findAny(8, high)).toBe(marked);
    }
    expect(pending.findAny(9, 1)).toBe(-1);
    expect(pending.findAny(7, 2)).toBe(-1);
  });

  test("is found though it was to be answered early, in the slot it was asked in last", () => {
    const pending = new Pending(4);
    const slots = [asked(pending, 7), asked(pending, 7), asked(pending, 8)];
    for (const slot of slots) pending.state[slot] = State.ABANDONED;
    expect(pending.find(7, RESENT)).toBe(-1);
    expect(pending.findAny(7, RESENT)).toBe(slots[1] as number);
    pending.release(slots[1] as number);
    expect(pending.findAny(7, RESENT)).toBe(slots[0] as number);
    const again = asked(pending, 7);
    expect(pending.findAny(7, RESENT)).toBe(again);
  });
});

describe("the order of requests", () => {
  test("is that in which they were asked, whatever their slots", () => {
    const pending = new Pending(4);
    const [a, b, c] = [asked(pending, 1), asked(pending, 2), asked(pending, 3)];
    pending.release(a);
    pending.release(b);
    const [d, e] = [pending.take(), pending.take()];
    expect([d, e]).toEqual([b, a]);
    expect(pending.inOrder()).toEqual([c, d, e]);
  });

  test("and all the rest is found by the next process", () => {
    const region = allocate(RECORD_BYTES);
    const before = new Pending(8, new ClientRecord(region));
    const slots = [asked(before, 1), asked(before, 2), asked(before, 3)];
    before.release(slots[0] as number);
    asked(before, 4);
    before.cancelled[1] = 1;
    const after = new Pending(8, new ClientRecord(region));
    expect(after.inOrder()).toEqual([1, 2, 0]);
    expect([after.count, after.expects(0, 2), after.cancelled[1]]).toEqual([3, true, 1]);
    expect(after.find(4, 0)).toBe(0);
    expect([after.take(), after.sequence[3]]).toEqual([3, 1]);
    free(region);
  });
});
