/** Figures that the threads of a supervisor share. */
import { expect, test } from "bun:test";
import { GO_ON } from "../../src/supervisor/call.ts";
import { Tally } from "../../src/supervisor/tally.ts";

test("calls are counted by what became of them, in all threads", () => {
  const tally = new Tally();
  const other = new Tally(tally.shared);
  tally.count(2, GO_ON, 1000);
  other.count(2, 0, 2000);
  other.count(2, -22, 3000);
  other.count(1, 5, 7000);
  tally.count(-1, 0, 1);
  const figures = { wentOn: 1, done: 1, failed: 1, meanMicroseconds: 2 };
  expect(tally.read(2)).toEqual(figures);
  expect(tally.read(1)).toEqual({ wentOn: 0, done: 1, failed: 0, meanMicroseconds: 7 });
  expect(tally.read(0)).toEqual({ wentOn: 0, done: 0, failed: 0, meanMicroseconds: 0 });
});

test("a thread says when no other waits, and main for how long that is so", () => {
  const tally = new Tally();
  const threads = [0, 5];
  for (const index of threads) tally.end(index);
  expect(tally.begin(5)).toBe(false);
  expect(tally.busyForMs(threads)).toBe(0);
  expect(tally.begin(0)).toBe(true);
  Bun.sleepSync(5);
  expect(tally.busyForMs(threads)).toBeGreaterThanOrEqual(4);
  tally.end(0);
  expect(tally.busyForMs(threads)).toBe(0);
  expect(tally.begin(0)).toBe(true);
});

test("whether each call is told of", () => {
  const tally = new Tally();
  expect(tally.talks).toBe(false);
  tally.talks = true;
  expect(new Tally(tally.shared).talks).toBe(true);
});
