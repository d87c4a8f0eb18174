/** Keys of numbers that are wider than what a number holds exactly. */
import { expect, test } from "bun:test";
import { nodeKey, pollKey } from "../../src/client/nodekey.ts";
import { EPOCH_MAX, NODE_EPOCH_SHIFT } from "../../src/wire/constants.ts";

const LAST = 0xffff_ffff;
const EPOCHS = [0, 1, 2, 0x7ff, 0x800, EPOCH_MAX];

test("neighbours have keys of their own in every session of a mount", () => {
  for (const epoch of EPOCHS) {
    const bits = epoch * 2 ** NODE_EPOCH_SHIFT;
    const highs = [0, 1, 2 ** NODE_EPOCH_SHIFT - 1].map((high) => (bits + high) >>> 0);
    const keys = highs.flatMap((high) =>
      [1, 2, 3, LAST - 1, LAST].map((low) => nodeKey(high, low)),
    );
    expect(new Set(keys).size).toBe(keys.length);
    for (const key of keys) expect(Number.isSafeInteger(key)).toBe(true);
  }
});

test("polls of all superblocks have keys of their own", () => {
  const channels = [0, 1, 2, 4095, 4096].map((channel) => channel << 15);
  const keys = channels.flatMap((high) => [1, 2, LAST].map((low) => pollKey(high, low)));
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of keys) expect(Number.isSafeInteger(key)).toBe(true);
});
