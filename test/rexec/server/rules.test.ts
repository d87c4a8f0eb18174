/** Who may have what carried out: which grants an order gets, and what of it they change. */
import { expect, test } from "bun:test";
import type { Order, OrderHead } from "../../../src/rexec/order.ts";
import type { Client } from "../../../src/rexec/server/client.ts";
import {
  describeRule,
  type Granted,
  type Rule,
  RuleCounts,
  Rules,
} from "../../../src/rexec/server/rules.ts";
import { PROGRAMS_MAX } from "../../../src/wire/limits.ts";

const HEAD: OrderHead = {
  cwd: Buffer.from("/home"),
  uid: 1000,
  gid: 5,
  groups: [6],
  umask: 0,
  blocked: [0, 0],
  ignored: [0, 0],
  limits: [],
  fds: [],
  files: [],
  detach: false,
  timeoutMs: 0,
};

const user: Client = { description: "", pid: 1, uid: 1000, gid: 100, groups: [100, 101] };
const root: Client = { description: "", pid: 1, uid: 0, gid: 0, groups: [0] };
const stranger: Client = { description: "", pid: -1, gid: -1, groups: [] };

const NONE = { all: 0, by: new RuleCounts() };

function order(head: Partial<OrderHead> = {}): Order {
  return { head: { ...HEAD, ...head }, argvStart: 0, envStart: 0, end: 0 };
}

const rule = (more: Partial<Rule> = {}): Rule => ({ name: "r", program: "/bin/true", ...more });

function admit(rules: Rule[], client: Client, head: Partial<OrderHead> = {}, words = ["true"]) {
  return new Rules(rules).admit(client, order(head), () => words, NONE);
}

function granted(
  rules: Rule[],
  client: Client,
  head?: Partial<OrderHead>,
  words?: string[],
): Granted {
  const admission = admit(rules, client, head, words);
  if ("refused" in admission) throw new Error(admission.refused);
  return admission;
}

const names = ({ grants }: Granted) => grants.map((one) => one.rule?.name);

test("without rules: root as anybody, others as themselves, nobody over TCP", () => {
  expect(granted([], root).grants).toEqual([{ head: HEAD }]);
  const [own] = granted([], user).grants;
  expect(own).toEqual({ head: { ...HEAD, gid: 100, groups: [100, 101] } });
  expect(admit([], user, { uid: 0 })).toEqual({
    refused: "user 1000 may not run programs as user 0",
  });
  expect(admit([], stranger)).toEqual({ refused: "true: no rule is for this client" });
});

test("a rule is for whom it names, and for strangers only where it says so", () => {
  const rules = [
    rule({ name: "root", users: [0] }),
    rule({ name: "user", users: [7, 1000] }),
    rule({ name: "all" }),
    rule({ name: "tcp", tcp: true }),
    rule({ name: "both", tcp: true, users: [0] }),
  ];
  expect(names(granted(rules, root))).toEqual(["root", "all", "tcp", "both"]);
  expect(names(granted(rules, user))).toEqual(["user", "all", "tcp"]);
  expect(names(granted(rules, stranger))).toEqual(["tcp", "both"]);
  expect(admit([rule({ users: [7] })], user)).toEqual({
    refused: "true: no rule is for this client",
  });
  expect(admit([rule()], stranger)).toEqual({ refused: "true: no rule is for this client" });
});

test("a user who claims to be another gets only rules that say whom the program becomes", () => {
  const as = { uid: 33, gid: 34, groups: [35] };
  const rules = [rule({ name: "own" }), rule({ name: "as", as })];
  expect(names(granted(rules, user))).toEqual(["own", "as"]);
  expect(names(granted(rules, user, { uid: 0 }))).toEqual(["as"]);
  expect(granted(rules, user, { uid: 0 }).own.uid).toBe(1000);
  expect(admit([rule()], user, { uid: 0 })).toEqual({
    refused: "user 1000 may not run programs as user 0",
  });
});

test("a rule's user replaces all ids, and its files are nobody else's to write", () => {
  const as = { uid: 33, gid: 34, groups: [35] };
  const head = { umask: 0o7, uid: 0, gid: 0, groups: [0, 1] };
  const [grant] = granted([rule({ as })], root, head).grants;
  expect(grant?.head).toMatchObject({ ...as, umask: 0o27 });
  const [same] = granted([rule()], root, head).grants;
  expect(same?.head).toMatchObject(head);
});

test("what strangers are told is what the rule's user sees, not whom they claim to be", () => {
  const as = { uid: 33, gid: 34, groups: [35] };
  expect(granted([rule({ tcp: true, as })], stranger, { uid: 0 }).own.uid).toBe(33);
  expect(granted([rule({ tcp: true })], stranger, { uid: 0 }).own.uid).toBe(0);
});

test("a directory, and the shorter of two times", () => {
  const head = (timeoutMs: number, own?: number) => {
    const more = own === undefined ? {} : { timeoutMs: own };
    return granted([rule({ cwd: "/srv", ...more })], root, { timeoutMs }).grants[0]?.head;
  };
  expect(Buffer.from(head(0)?.cwd ?? []).toString()).toBe("/srv");
  expect(
    [head(0), head(5), head(0, 7), head(5, 7), head(9, 7)].map((one) => one?.timeoutMs),
  ).toEqual([0, 5, 7, 5, 7]);
});

test("arguments choose among rules; those that do not fit are told", () => {
  const rules = [rule({ name: "a", args: "x *" }), rule({ name: "b", args: ["y", "..."] })];
  expect(names(granted(rules, root, {}, ["true", "x", "1"]))).toEqual(["a"]);
  expect(names(granted(rules, root, {}, ["true", "y"]))).toEqual(["b"]);
  const none = granted(rules, root, {}, ["true", "z"]);
  expect([names(none), none.withOtherArgs]).toEqual([[], ["/bin/true", "/bin/true"]]);
});

test("as many at once as a rule says, each rule for itself", () => {
  const rules = new Rules([rule({ name: "a", max: 2 }), rule({ name: "b", max: 1 })]);
  const by = new RuleCounts();
  const refusals = () => {
    const admission = rules.admit(root, order(), () => ["true"], { all: 0, by });
    if ("refused" in admission) throw new Error(admission.refused);
    return admission.grants.map(({ refused }) => refused);
  };
  expect(refusals()).toEqual([undefined, undefined]);
  by.add("a", 1);
  by.add("b", 1);
  expect(refusals()).toEqual([undefined, "as many run as rule b allows at once (1)"]);
  by.add("a", 1);
  expect(refusals()[0]).toBe("as many run as rule a allows at once (2)");
  by.add("a", -1);
  by.add("b", -1);
  expect([refusals(), by.of("a"), by.of("b")]).toEqual([[undefined, undefined], 1, 0]);
});

test("all rules and all clients together have a bound, too", () => {
  const admission = new Rules([]).admit(root, order(), () => ["true"], {
    ...NONE,
    all: PROGRAMS_MAX,
  });
  expect(admission).toEqual({ refused: "too many programs run" });
});

test("a rule in one line", () => {
  expect(describeRule(rule({ name: "/bin/true", tcp: true }))).toBe(
    "/bin/true for who may connect, TCP clients",
  );
  const as = { uid: 33, gid: 34, groups: [] };
  const more = { args: ["\u00c3\u00a9", "..."], as, users: [0, 7] };
  expect(describeRule(rule(more))).toBe("r: /bin/true \u00e9 ... as uid 33 for uid 0, uid 7");
});
