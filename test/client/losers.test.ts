/** Links of a file that has just lost a name: the kernel takes one off what it is told. */
import { expect, test } from "bun:test";
import { Losers } from "../../src/client/losers.ts";
import { emptyAttributes } from "../../src/wire/attributes.ts";

function links(losers: Losers, order: number, low = 8): number {
  const attributes = { ...emptyAttributes(), nlink: 1 };
  losers.correct(order, 7, low, attributes);
  return attributes.nlink;
}

const isLoser = (losers: Losers, low = 8) => losers.correct(0, 7, low, emptyAttributes());

test("a request that came before the loss was told is answered with the count before it", () => {
  const losers = new Losers();
  expect(losers.active).toBe(false);
  losers.note(10, 7, 8);
  expect(losers.active).toBe(true);
  expect([9, 10, 11].map((order) => links(losers, order))).toEqual([2, 2, 1]);
  expect(links(losers, 9, 9)).toBe(1);
});

test("each loss counts for those who came before it", () => {
  const losers = new Losers();
  losers.note(10, 7, 8);
  losers.note(20, 7, 8);
  expect([10, 20, 21].map((order) => links(losers, order))).toEqual([3, 2, 1]);
});

test("a name of a file that has lost one is not to be believed", () => {
  const losers = new Losers();
  losers.note(10, 7, 8);
  expect([isLoser(losers), isLoser(losers, 9)]).toEqual([true, false]);
  losers.clear();
  expect([losers.active, isLoser(losers)]).toEqual([false, false]);
});

test("what was lost long ago is forgotten, and so is the oldest of many", async () => {
  const losers = new Losers();
  losers.note(10, 7, 8);
  for (let low = 100; low < 164; low++) losers.note(10, 7, low);
  expect([isLoser(losers), isLoser(losers, 163)]).toEqual([false, true]);
  await Bun.sleep(1050);
  expect([isLoser(losers, 163), losers.active]).toEqual([false, false]);
});
