/** What slots keep, also for a process that comes after this one. */
import { expect, test } from "bun:test";
import { NEVER_CAME, SLOTS_BYTES, Slots } from "../../src/server/slots.ts";
import { Wakeups } from "../../src/server/wakeups.ts";
import { allocate } from "../../src/sys/memory.ts";
import { POLLS_MAX, REPLAY_MAX, SLOTS_MAX } from "../../src/wire/limits.ts";
import { Op } from "../../src/wire/ops.ts";

const LAST = SLOTS_MAX - 1;

test("another process finds sequences, answers, doubts and counts as they were left", () => {
  const region = allocate(SLOTS_BYTES);
  const before = new Slots(region);
  const answer = Uint8Array.from({ length: REPLAY_MAX }, (_, i) => i);
  const sinceMs = Date.now();
  for (const slot of [0, 7, LAST]) {
    before.begin(slot, 41, Op.MKDIR, 1);
    before.keep(slot, answer, slot === 7 ? 500 : 0, REPLAY_MAX);
  }
  before.begin(8, 5, Op.WRITE, 1);
  before.note(8, 4096);
  before.setBusy(8, true);
  expect(before.doubtSinceNs(8)).toBe(0);
  before.begin(9, 6, Op.LOOKUP, 0);
  before.countLookup(9, 3, 77);
  for (let i = 0; i < 3; i++) before.countOneway();
  before.events = 9;
  before.countEvent();
  const after = new Slots(region);
  for (const slot of [0, 7, LAST]) {
    expect([after.last(slot), after.op(slot), after.isKept(slot)]).toEqual([41, Op.MKDIR, true]);
    expect(after.kept(slot)).toEqual(Buffer.from(answer.subarray(slot === 7 ? 500 : 0)));
    expect(after.doubtSinceNs(slot)).toBe(0);
  }
  expect([after.last(8), after.isKept(8), after.noted(8)]).toEqual([5, false, 4096]);
  const doubt = after.doubtSinceNs(8) / 1e6;
  expect(doubt).toBeGreaterThanOrEqual(sinceMs - 1);
  expect(doubt).toBeLessThanOrEqual(Date.now() + 1);
  expect([after.last(9), after.isKept(9), after.doubtSinceNs(9)]).toEqual([6, false, 0]);
  const undone: number[] = [];
  after.takeLookups(9, (high, low) => undone.push(high, low));
  after.takeLookups(9, (high, low) => undone.push(high, low));
  expect(undone).toEqual([3, 77]);
  expect([after.oneways, after.events, after.last(10)]).toEqual([3, 10, 0]);
});

test("the next request of a slot takes the place of what was kept of the last", () => {
  const slots = new Slots(allocate(SLOTS_BYTES));
  slots.begin(3, 1, Op.MKDIR, 1);
  slots.keep(3, new Uint8Array(9), 0, 9);
  slots.begin(3, 2, Op.WRITE, 1);
  expect(slots.isKept(3)).toBe(false);
  expect(slots.noted(3)).toBe(-1);
  expect(slots.doubtSinceNs(3)).toBeGreaterThan(0);
  slots.begin(3, 3, Op.GETATTR, 0);
  expect(slots.doubtSinceNs(3)).toBe(0);
  slots.begin(3, 4, NEVER_CAME, 1);
  expect(() => slots.keep(3, new Uint8Array(600), 0, REPLAY_MAX + 1)).toThrow("REPLAY_MAX");
});

test("lookups without number are handed out in order, each once, and per slot", () => {
  const slots = new Slots(allocate(SLOTS_BYTES));
  for (const count of [1, 2, 64, 65, 66, 3000, 5]) {
    slots.begin(4, 1, Op.READDIR, 0);
    slots.begin(5, 1, Op.LOOKUP, 0);
    slots.countLookup(5, 9, 9);
    for (let i = 1; i <= count; i++) slots.countLookup(4, i, i + 1);
    const undone: number[] = [];
    slots.takeLookups(4, (high, low) => undone.push(high, low));
    expect(undone).toEqual(Array.from({ length: 2 * count }, (_, i) => (i >> 1) + (i % 2) + 1));
  }
});

test("an answer is under way on one connection only", () => {
  const slots = new Slots(allocate(SLOTS_BYTES));
  slots.connectionChanged();
  expect(slots.isAnswered(1)).toBe(false);
  slots.answered(1);
  expect(slots.isAnswered(1)).toBe(true);
  slots.connectionChanged();
  expect(slots.isAnswered(1)).toBe(false);
});

test("wakeups are remembered for as long as they may be on their way, and told once", () => {
  const wakeups = new Wakeups();
  expect(wakeups.takeAfter(0)).toEqual([]);
  const many = 3 * (POLLS_MAX + SLOTS_MAX);
  for (let event = 1; event <= many; event++) wakeups.sent(event, 1, event);
  const lost = wakeups.takeAfter(many - 2);
  expect(lost).toEqual([
    [1, many - 1],
    [1, many],
  ]);
  expect(wakeups.takeAfter(0)).toEqual([]);
  for (let event = 1; event <= many; event++) wakeups.sent(event, 1, event);
  expect(wakeups.takeAfter(0).length).toBe(POLLS_MAX + SLOTS_MAX);
});
