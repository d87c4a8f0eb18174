/** How files are treated: the built-in table, and the rules of a configuration. */
import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { FILE_SYSTEM_TYPES } from "../../src/server/fstypes.ts";
import {
  checkRules,
  describeRules,
  magicOf,
  Policies,
  refusal,
  typeOf,
} from "../../src/server/policy.ts";

const type = (name: string) => FILE_SYSTEM_TYPES.find((one) => one.name === name) ?? fail(name);
const fail = (name: string): never => {
  throw new Error(name);
};

test("no name and no number is in the table twice", () => {
  const names = FILE_SYSTEM_TYPES.map((one) => one.name);
  const magics = FILE_SYSTEM_TYPES.map((one) => one.magic);
  expect(new Set(names).size).toBe(names.length);
  expect(new Set(magics).size).toBe(magics.length);
});

test.each([
  ["/proc", "proc", "live"],
  ["/sys", "sysfs", "live"],
  ["/dev/pts", "devpts", "live"],
  ["/dev/shm", "tmpfs", "watched"],
] as const)("%s is of type %s", (path, name, treatment) => {
  const fd = openSync(path, "r");
  expect(typeOf(fd)).toMatchObject({ name, treatment });
  closeSync(fd);
});

test("a type is named as in the table, or by its number", () => {
  expect(magicOf("ext4")).toBe(0xef53);
  expect(magicOf("0x1234")).toBe(0x1234);
  expect(magicOf("0x123456789")).toBeUndefined();
  expect(magicOf("ext5")).toBeUndefined();
});

test("what is made when it is read can only be live", () => {
  expect(refusal(type("proc").magic, "short")).toContain("files of proc are made when");
  expect(refusal(type("proc").magic, "live")).toBeUndefined();
  expect(refusal(type("nfs").magic, "watched")).toBeUndefined();
  expect(refusal(0x1234, "short")).toBeUndefined();
});

test("a rule for a type replaces what is built in", () => {
  const policies = new Policies([{ magic: type("nfs").magic, treatment: "watched" }], "/srv");
  expect(policies.ofType(type("nfs"))).toBe("watched");
  expect(policies.ofType(type("ext4"))).toBe("watched");
  expect(policies.ofType(type("ceph"))).toBe("short");
  expect(policies.hasPaths).toBe(false);
});

test("of the rules for directories the nearest one above holds", () => {
  const rules = [
    { path: "/srv/a/b", treatment: "short" },
    { path: "/srv/a", treatment: "live" },
    { path: "/srv/ä", treatment: "live" },
    { path: "/other", treatment: "live" },
  ] as const;
  const policies = new Policies(rules, "/srv");
  expect(policies.ofPath("")).toBeUndefined();
  expect(policies.ofPath("ab")).toBeUndefined();
  expect(policies.ofPath("a")).toBe("live");
  expect(policies.ofPath("a/c/d")).toBe("live");
  expect(policies.ofPath("a/b")).toBe("short");
  expect(policies.ofPath("a/b/c")).toBe("short");
  expect(policies.ofPath("a/bc")).toBe("live");
  // Names are kept as bytes.
  expect(policies.ofPath("\xc3\xa4/x")).toBe("live");
  expect(policies.isRuled("a/b")).toBe(true);
  expect(policies.isRuled("a/b/c")).toBe(false);
});

test("a rule above the root is for all of the tree, the nearest first", () => {
  const above = [
    { path: "/srv/a", treatment: "live" },
    { path: "/", treatment: "short" },
  ] as const;
  expect(new Policies(above, "/srv/a/tree").ofPath("x/y")).toBe("live");
  expect(new Policies(above, "/srv/ab").ofPath("x/y")).toBe("short");
  expect(new Policies([{ path: "/srv", treatment: "live" }], "/").ofPath("srv/x")).toBe("live");
  expect(new Policies([{ path: "/srv", treatment: "live" }], "/").ofPath("x")).toBeUndefined();
});

test("rules that say nothing are refused with a sentence", () => {
  const exports = [{ path: "/srv", readOnly: false }];
  const live = "live" as const;
  const check = (...rules: { path: string; treatment: "live" }[]) => checkRules(rules, exports);
  check({ path: "/srv/a", treatment: live }, { path: "/", treatment: live });
  expect(() => check({ path: "/srva", treatment: live })).toThrow(
    "There is a policy for /srva, which is not exported",
  );
  expect(() => check({ path: "/srv", treatment: live }, { path: "/srv", treatment: live })).toThrow(
    "There are two policies for /srv",
  );
});

test("rules are shown by the names of their types", () => {
  const rules = [
    { magic: 0x6969, treatment: "watched" },
    { magic: 0x1234, treatment: "short" },
    { path: "/srv", treatment: "live" },
  ] as const;
  expect(describeRules(rules)).toEqual([
    { of: "nfs", policy: "watched" },
    { of: "0x1234", policy: "short" },
    { of: "/srv", policy: "live" },
  ]);
});
