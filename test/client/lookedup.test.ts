/** Attributes that a lookup has told serve the rest of the same system call, and nothing else. */
import { expect, test } from "bun:test";
import { LookedUpNodes } from "../../src/client/lookedup.ts";
import { emptyAttributes } from "../../src/wire/attributes.ts";

const attributes = { ...emptyAttributes(), size: 4096 };
const told = (freshNs = Number.POSITIVE_INFINITY) => {
  const nodes = new LookedUpNodes(freshNs);
  nodes.put(100, 7, 8, attributes);
  return nodes;
};

test("the thread that was told has them, once", () => {
  const nodes = told();
  expect(nodes.take(100, 7, 8)).toEqual(attributes);
  expect(nodes.take(100, 7, 8)).toBeUndefined();
});

test("another thread, node or half of one has not", () => {
  expect(told().take(101, 7, 8)).toBeUndefined();
  // In the same place.
  expect(told().take(132, 7, 8)).toBeUndefined();
  expect(told().take(100, 7, 9)).toBeUndefined();
  expect(told().take(100, 6, 8)).toBeUndefined();
});

test("what was told last counts, and nothing after a question about another node", () => {
  const nodes = told();
  nodes.put(100, 7, 9, { ...attributes, size: 5 });
  expect(nodes.take(100, 7, 9)?.size).toBe(5);
  const others = told();
  expect(others.take(100, 1, 1)).toBeUndefined();
  expect(others.take(100, 7, 8)).toBeUndefined();
});

test("they are of no use after a change, or a while", async () => {
  const changed = told();
  changed.drop(7, 8);
  expect(changed.take(100, 7, 8)).toBeUndefined();
  const cleared = told();
  cleared.clear();
  expect(cleared.take(100, 7, 8)).toBeUndefined();
  const old = told(1e6);
  await Bun.sleep(5);
  expect(old.take(100, 7, 8)).toBeUndefined();
});
