/** What a supervisor leaves to the next one. */
import { beforeEach, expect, test } from "bun:test";
import type { HostSession } from "../../src/client/hostcalls.ts";
import {
  CALLS_MAX,
  CallRecord,
  createRecord,
  readSettings,
  writeSettings,
} from "../../src/supervisor/record.ts";
import { SECCOMP_NOTIF } from "../../src/sys/seccomp.ts";

const session = (letter: string, sequence: number): HostSession => {
  return { id: letter.repeat(32), sequence, events: sequence + 5 };
};

let fd: number;
let record: CallRecord;
/** What another process finds of it. */
const successor = () => new CallRecord(fd, 3);
beforeEach(() => {
  fd = createRecord();
  record = new CallRecord(fd, 3);
});

test("settings are read as they were written", () => {
  const settings = {
    ...{ command: ["dockerd", "-D"], startedAt: "2026", pid: 7 },
    ...{ logLevel: "info", names: ["a*"] },
  };
  writeSettings(fd, settings);
  expect(readSettings(fd)).toEqual(settings);
  const long = { ...settings, command: ["x".repeat(9000)] };
  expect(() => writeSettings(fd, long)).toThrow("too long");
});

test("of the requests for a call the last one is made again", () => {
  expect([successor().done, successor().left]).toEqual([0, undefined]);
  record.keep(session("a", 2));
  expect([successor().done, successor().left]).toEqual([0, session("a", 2)]);
  record.keep(session("b", 9));
  record.keep(session("b", 10));
  expect([successor().done, successor().left]).toEqual([2, session("b", 10)]);
});

test("one that is made again is not another one", () => {
  record.keep(session("a", 2));
  record.keep(session("a", 3));
  const next = successor();
  next.keep(session("a", 3));
  expect([next.done, next.left]).toEqual([1, session("a", 3)]);
  next.keep(session("a", 4));
  expect([next.done, next.left]).toEqual([2, session("a", 4)]);
});

test("a process that ends while it notes a request has noted the one before", () => {
  record.keep(session("a", 2));
  record.keep(session("a", 3));
  // All of the next one but the number of requests, which is stored last.
  const { words } = record.region;
  const before = words.slice();
  record.keep(session("a", 4));
  const changed = [...words.keys()].filter((i) => words[i] !== before[i]);
  const count = changed.find((i) => words[i] === 3 && before[i] === 2) as number;
  words[count] = 2;
  expect([successor().done, successor().left]).toEqual([1, session("a", 3)]);
});

test("a call is left as long as its caller is there, and each has its place", () => {
  expect(successor().isLeft).toBe(false);
  record.region.view.setUint32(SECCOMP_NOTIF.pid, 17, true);
  expect(successor().isLeft).toBe(true);
  const others = Array.from({ length: CALLS_MAX }, (_, i) => new CallRecord(fd, i).isLeft);
  expect(others.filter(Boolean)).toEqual([true]);
  record.keep(session("a", 2));
  record.clear();
  expect(successor().left).toBe(undefined);
});
