import { expect, test } from "bun:test";
import type { OpFigures } from "../../../src/info/counters.ts";
import { formatRates } from "../../../src/info/format/rates.ts";
import { mountReport } from "../samples.ts";

function op(own: Partial<OpFigures>): OpFigures {
  const zero = { meanUs: 0, p50Us: 0, p90Us: 0, p99Us: 0, maxUs: 0 };
  return { op: "read", count: 0, errors: 0, bytes: 0, ...zero, ...own };
}

test("what was done since, per second, most often first", () => {
  const before = mountReport({ operations: [op({ count: 10, bytes: 1000, meanUs: 5 })] });
  const now = mountReport({
    operations: [
      op({ count: 30, bytes: 1000 + 4096, errors: 2, meanUs: 15 }),
      op({ op: "lookup", count: 200, meanUs: 7 }),
    ],
  });
  expect(
    formatRates(before, now, 2)
      .split("\n")
      .map((line) => line.split(/ {2,}/)),
  ).toEqual([
    ["operation", "per second", "errors/s", "data/s", "mean"],
    ["lookup", "100", "-", "-", "7.0 µs"],
    ["read", "10", "1", "2.0 KiB", "20 µs"],
    [""],
  ]);
});

test("nothing was done", () => {
  const same = mountReport();
  expect(formatRates(same, same, 1)).toBe("Nothing is asked for.\n");
});
