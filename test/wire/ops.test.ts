/** The tables of operations and limits agree with each other. */
import { expect, test } from "bun:test";
import * as limits from "../../src/wire/limits.ts";
import { ARGUMENTS, changesSomething, OP_COUNT, Op, opName } from "../../src/wire/ops.ts";

test("each operation has a number of its own, and its arguments counted", () => {
  const numbers = Object.values(Op).sort((a, b) => a - b);
  expect(new Set(numbers).size).toBe(numbers.length);
  expect(numbers[0]).toBe(1);
  expect(numbers.at(-1) as number).toBe(OP_COUNT - 1);
  for (const op of numbers) expect(ARGUMENTS[op]).toBeGreaterThanOrEqual(0);
  expect(Object.keys(ARGUMENTS).length).toBe(numbers.length);
});

test("operations have names for people", () => {
  expect(opName(Op.READDIR)).toBe("readdir");
  expect(opName(OP_COUNT)).toBe("?");
});

test("what changes nothing on the server is run again; what does is not", () => {
  const again = Object.entries(Op).filter(([, op]) => !changesSomething(op));
  expect(again.map(([name]) => name).sort()).toEqual([
    ...["FOLLOW", "FSYNC", "FSYNCDIR", "GETATTR", "GETLK", "GETXATTR", "LISTXATTR", "LOOKUP"],
    ...["MOUNTS", "MOUNT_ROOT", "NAME_LOOK", "NAME_OPEN"],
    ...["PASS_OPEN", "PING", "PLACE_STATFS", "POLL", "READ", "READDIR"],
    ...["READLINK", "SEEK", "SOCKET_REBIND"],
    ...["STATFS", "STATX", "SYNCFS", "TWIN_CLOSE", "TWIN_OPEN", "WATCH"],
  ]);
});

test("a frame holds its parts, a header the longest request, a slot's reply the longest answer", () => {
  expect(limits.FRAME_MAX).toBe(limits.PREFIX_BYTES + limits.HEADER_MAX + limits.PAYLOAD_MAX);
  expect(limits.HEADER_MAX).toBeLessThan(2 ** 24);
  const forget = 3 + 3 + limits.FORGETS_MAX * 18;
  expect(forget).toBeLessThanOrEqual(limits.HEADER_MAX);
  const symlink = 30 + 3 + limits.NAME_MAX + 3 + limits.PATH_MAX + 3 * 9;
  expect(symlink).toBeLessThanOrEqual(limits.HEADER_MAX);
  // CREATE's: slot, sequence, errno, node, 16 attributes, handle, result.
  expect(2 + 22 * 9).toBeLessThanOrEqual(limits.REPLAY_MAX);
  expect(limits.STREAM_CHUNK_MAX).toBeLessThanOrEqual(limits.STREAM_SPLICED_MAX);
  expect(limits.STREAM_SPLICED_MAX).toBeLessThanOrEqual(limits.STREAM_WINDOW);
  expect(limits.STREAM_SPLICED_MAX).toBeLessThanOrEqual(limits.PAYLOAD_MAX);
  expect(limits.VERSION_MIN).toBeLessThanOrEqual(limits.VERSION_MAX);
});
