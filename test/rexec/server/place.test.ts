import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { dirname } from "node:path";
import { keeperPath } from "../../../src/rexec/server/place.ts";

test("a keeper is found by its server's addresses, in whatever order they are named", () => {
  const path = keeperPath(["unix:///a", "tcp://127.0.0.1:1"]);
  expect(keeperPath(["tcp://127.0.0.1:1", "unix:///a"])).toBe(path);
  expect(keeperPath(["unix:///a"])).not.toBe(path);
  expect(path.length).toBeLessThanOrEqual(107);
});

test("its socket lies where this user alone gets", () => {
  const { mode, uid } = statSync(dirname(keeperPath(["unix:///a"])));
  expect(mode & 0o777).toBe(0o700);
  expect(uid).toBe(process.geteuid?.() ?? -1);
});
