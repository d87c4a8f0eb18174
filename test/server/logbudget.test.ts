/** What strangers can make a server log. */
import { expect, test } from "bun:test";
import { LogBudget } from "../../src/server/logbudget.ts";

const SECOND = 1e9;

test("a burst is logged, the rest counted, and one line a second follows", () => {
  const budget = new LogBudget();
  const start = 1000 * SECOND;
  const burst = Array.from({ length: 100 }, (_, i) => budget.admit(`line ${i}`, start));
  const logged = burst.filter((line) => line !== undefined);
  expect(logged).toEqual(Array.from({ length: 20 }, (_, i) => `line ${i}`));
  expect(budget.admit("soon", start + SECOND / 2)).toBeUndefined();
  expect(budget.admit("later", start + SECOND)).toContain("later (81 more");
  expect(budget.admit("again", start + SECOND)).toBeUndefined();
  expect(budget.admit("at rest", start + 1000 * SECOND)).toContain("at rest (1 more");
  expect(budget.admit("plain", start + 1000 * SECOND)).toBe("plain");
});
