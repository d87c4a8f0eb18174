/** When a loop pauses so that those who talk come to one core. */
import { expect, test } from "bun:test";
import { Rhythm } from "../../src/bridge/rhythm.ts";

const SLOW_NS = 60_000;
const FAST_NS = 8_000;

/** How often it wants a pause in `waits` of two descriptors that have their turns. */
function pauses(rhythm: Rhythm, waits: number, ns: number, fds = [7, 9]): number {
  let count = 0;
  for (let i = 0; i < waits; i++) {
    if (rhythm.waited(fds[i % fds.length] as number, ns)) count++;
  }
  return count;
}

test("pauses once those who have their turns are slow, and not while they are fast", () => {
  const rhythm = new Rhythm();
  expect(pauses(rhythm, 1000, FAST_NS)).toBe(0);
  expect(pauses(rhythm, 130, SLOW_NS)).toBe(1);
  // The run that was under way is still slow.
  pauses(rhythm, 64, FAST_NS);
  expect(pauses(rhythm, 1000, FAST_NS)).toBe(0);
  // Again once it is slow again.
  expect(pauses(rhythm, 130, SLOW_NS)).toBeGreaterThan(0);
});

test("pauses ever less where that does not help", () => {
  const rhythm = new Rhythm();
  pauses(rhythm, 10_000, SLOW_NS);
  const later = pauses(rhythm, 100_000, SLOW_NS);
  expect(later).toBeLessThan(60);
  expect(later).toBeGreaterThan(30);
});

test("leaves streams, crowds and those who wait for long alone", () => {
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [7])).toBe(0);
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [7, 9, 11])).toBe(0);
  expect(pauses(new Rhythm(), 1000, SLOW_NS, [-1, 9])).toBe(0);
  expect(pauses(new Rhythm(), 1000, 1_000_000)).toBe(0);
});
