import { afterEach, expect, test } from "bun:test";
import { pauseMs, replaceSelf } from "../../src/cli/replace.ts";

afterEach(() => {
  delete process.env.QTFS_REPLACED;
});

test("each time in a row has to wait twice as long, an hour at most", () => {
  expect([0, 1, 2, 3, 6, 7, 100].map(pauseMs)).toEqual(
    [0, 60, 120, 240, 1920, 3600, 3600].map((seconds) => seconds * 1000),
  );
});

test("a process that was just replaced stays", () => {
  process.env.QTFS_REPLACED = `2,${Date.now()}`;
  const said: string[] = [];
  expect(replaceSelf((text) => said.push(text))).toMatch(/not again for 1(20|19) s$/);
  expect(said).toEqual([]);
});
