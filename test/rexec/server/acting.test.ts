/** Being somebody else for a look at files, and what of limits a program may be given. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { OrderHead } from "../../../src/rexec/order.ts";
import { Acting } from "../../../src/rexec/server/acting.ts";
import { getLimit, type Limit, Resource } from "../../../src/sys/limits.ts";

/** linux/capability.h: not in every sandbox. */
const CAP_SYS_RESOURCE = 24n;
const groups = process.getgroups?.() ?? [];
const acting = new Acting(groups);

const head = (limits: OrderHead["limits"] = []): OrderHead => ({
  cwd: Buffer.from("/"),
  uid: 4711,
  gid: 4712,
  groups: [4713, 4714],
  umask: 0,
  blocked: [0, 0],
  ignored: [0, 0],
  limits,
  fds: [],
  files: [],
  detach: false,
  timeoutMs: 0,
});

/** Lines of this thread's status. */
function status(): string {
  const text = readFileSync("/proc/thread-self/status", "latin1");
  return (text.match(/^(Uid|Gid|Groups|CapEff):.*$/gm) ?? []).join("\n");
}

test("the effective ids change, and no rights are left; the real user stays", () => {
  const before = status();
  let during = "";
  const result = acting.as(head(), () => {
    during = status();
    return 7;
  });
  expect(result).toBe(7);
  expect(during.split("\n")).toEqual([
    "Uid:\t0\t4711\t0\t4711",
    "Gid:\t0\t4712\t0\t4712",
    "Groups:\t4713 4714 ",
    "CapEff:\t0000000000000000",
  ]);
  expect(status()).toBe(before);
});

test("it is over also where what is done fails", () => {
  const before = status();
  const fail = () => {
    throw new Error("fails");
  };
  expect(() => acting.as(head(), fail)).toThrow("fails");
  expect(status()).toBe(before);
});

test("limits of a rule replace the client's, and only root gets more than there is", () => {
  const own = getLimit(0, Resource.NOFILE);
  if (typeof own === "number") throw new Error("no limit of files");
  const wanted: [number, number][] = Array.from({ length: 8 }, () => [3, 5]);
  wanted[Resource.NOFILE] = [own[1] + 1, own[1] + 2];
  const of = (mayRaise: boolean, rule: [number, Limit][] = []) =>
    acting
      .limits(head(wanted), mayRaise, rule)
      .find(({ resource }) => resource === Resource.NOFILE);
  const hex = /^CapEff:\t(.*)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
  const canRaise = ((BigInt(`0x${hex}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
  const most: Limit = canRaise ? [own[1] + 1, own[1] + 2] : [own[1], own[1]];
  expect(of(true)?.limit ?? own).toEqual(most);
  // It may be what this process has already.
  expect(of(false)?.limit ?? own).toEqual([own[1], own[1]]);
  const required = { resource: Resource.NOFILE, limit: [1, 2], isRequired: true } as const;
  expect(of(false, [[Resource.NOFILE, [1, 2]]])).toEqual(required);
  const others = acting.limits(head(wanted), false, []).filter(({ isRequired }) => isRequired);
  expect(others).toEqual([]);
});
