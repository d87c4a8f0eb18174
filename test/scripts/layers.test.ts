import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";

const SRC = new URL("../../src/", import.meta.url).pathname;
const files = [...new Bun.Glob("**/*.ts").scanSync(SRC)];

/** Files of src with a line that matches, but those that are excused. */
function filesWith(pattern: RegExp, isExcused: (path: string) => boolean = () => false): string[] {
  return files.filter((path) => !isExcused(path) && pattern.test(readFileSync(SRC + path, "utf8")));
}

test("only sys and fuse call C", () => {
  const isBelow = (path: string) => /^(sys|fuse)\//.test(path);
  expect(filesWith(/from "bun:ffi"/, isBelow)).toEqual([]);
  expect(filesWith(/from "bun:ffi"/)).not.toEqual([]);
});

test("of a thread's module only types are imported: the rest would run where it is imported", () => {
  expect(filesWith(/^import (?!type )[^;]*from "[^"]*\.worker\.ts"/m)).toEqual([]);
  expect(filesWith(/^import type [^;]*from "[^"]*\.worker\.ts"/m)).not.toEqual([]);
});
