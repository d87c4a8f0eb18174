/** When a loop pauses so that those who talk come to one core. */
import { expect, test } from "bun:test";
import { Rhythm } from "../../src/bridge/rhythm.ts";

const SLOW_NS = 60_000;
const FAST_NS = 8_000;

/** How often it wants a pause in `waits` of two descriptors that have their turns. */
function pauses(rhythm: Rhythm, waits: number, ns: number, fds = [7, 9]): number {
  let count = 0;
  for (let i = 0; i < waits; i++) {
    if (rhythm.waited(fds[i % fds.length] as number, ns) > 0) count++;
  }
  return count;
}

test("pauses once those who have their turns are slow, and not while they are fast", () => {
  const rhythm = new Rhythm();
  expect(pauses(rhythm, 1000, FAST_NS)).toBe(0);
  expect(pauses(rhythm, 66, SLOW_NS)).toBe(1);
  // The run that was under way is still slow.
  pauses(rhythm, 64, FAST_NS);
  expect(pauses(rhythm, 1000, FAST_NS)).toBe(0);
  // Again once it is slow again.
  expect(pauses(rhythm, 66, SLOW_NS)).toBeGreaterThan(0);
});

test("pauses ever less where that does not help", () => {
  const rhythm = new Rhythm();
  pauses(rhythm, 10_000, SLOW_NS);
  const later = pauses(rhythm, 100_000, SLOW_NS);
  expect(later).toBeLessThan(60);
  expect(later).toBeGreaterThan(30);
});

test("pauses for longer where that did not help, and remembers what did", () => {
  const rhythm = new Rhythm();
  const lengths = (waits: number, ns: number) =>
    Array.from({ length: waits }, (_, i) => rhythm.waited(7 + (i % 2), ns)).filter((us) => us > 0);
  const first = lengths(20_000, SLOW_NS);
  expect(first.slice(0, 4)).toEqual([300, 600, 1200, 1200]);
  lengths(64, FAST_NS);
  expect(lengths(1000, FAST_NS)).toEqual([]);
  expect(lengths(100, SLOW_NS)[0]).toBe(1200);
});

test("leaves streams, crowds and those who wait for long alone", () => {
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [7])).toBe(0);
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [7, 9, 11])).toBe(0);
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [-1, 9])).toBe(0);
  expect(pauses(new Rhythm(), 1000, 1_000_000)).toBe(0);
});
