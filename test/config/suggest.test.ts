import { expect, test } from "bun:test";
import { editDistance, nearest, suggestion } from "../../src/config/suggest.ts";

test.each([
  ["", "", 0],
  ["abc", "abc", 0],
  ["", "abc", 3],
  ["server", "sever", 1],
  ["server", "serverr", 1],
  ["server", "servet", 1],
  ["server", "sevrer", 1],
  ["kitten", "sitting", 3],
])("the distance of %p and %p is %d, both ways", (a, b, distance) => {
  expect(editDistance(a, b)).toBe(distance);
  expect(editDistance(b, a)).toBe(distance);
});

test("the nearest of several is chosen", () => {
  expect(nearest("timout", ["ro", "timeout", "time"])).toBe("timeout");
});

test("what is too far away, or too short to tell, is not suggested", () => {
  expect(nearest("xyz", ["ro", "timeout"])).toBeUndefined();
  expect(nearest("x", ["y"])).toBeUndefined();
  expect(suggestion("xyz", ["timeout"])).toBe("");
});
