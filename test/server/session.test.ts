/** Slots and replay, forgetting, and what a session may hold. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { CACHED_FDS_MAX } from "../../src/server/fdring.ts";
import { E } from "../../src/sys/errno.ts";
import { Goodbye, Lock, OpenFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { FORGETS_MAX, GREETERS_MAX, SLOTS_MAX } from "../../src/wire/limits.ts";
import { Oneway, Op } from "../../src/wire/ops.ts";
import { attributesOf, entryOf } from "../support/attributes.ts";
import type { Argument, RawClient } from "../support/client.ts";
import { TestServer, until } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const CALLER = [0o022, 0, 0, -1] as const;

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ below: "/dev/shm" });
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** Sends a request with a sequence of its own choosing. */
function raw(client: RawClient, slot: number, sequence: number, op: number, ...args: Argument[]) {
  client.frame(Kind.REQUEST, [slot, sequence, op, ...args]);
  client.transport.flush();
}

async function gauge(name: string): Promise<number> {
  return (await server.snapshot()).totals[name] ?? 0;
}

test("a request repeated in its slot is answered alike and runs once", async () => {
  const client = server.client();
  const before = await gauge("replays");
  raw(client, 3, 1, Op.MKDIR, 1, "once", 0o755, ...CALLER);
  const first = client.reply(3);
  expect(first.errno).toBe(0);
  rmSync(server.path("once"), { recursive: true });
  raw(client, 3, 1, Op.MKDIR, 1, "once", 0o755, ...CALLER);
  expect(client.reply(3)).toEqual(first);
  expect(readdirSync(server.share)).not.toContain("once");
  expect((await gauge("replays")) - before).toBe(1);
});

test("an error is repeated as it was, too", () => {
  const client = server.client();
  raw(client, 3, 1, Op.RMDIR, 1, "later");
  expect(client.reply(3).errno).toBe(E.ENOENT);
  mkdirSync(server.path("later"));
  raw(client, 3, 1, Op.RMDIR, 1, "later");
  expect(client.reply(3).errno).toBe(E.ENOENT);
  expect(readdirSync(server.share)).toContain("later");
});

test("a repeated CREATE, OPEN and WRITE open one descriptor and write once", () => {
  const client = server.client();
  const create = [1, "created", RDWR | OpenFlag.APPEND, 0o644, ...CALLER] as const;
  raw(client, 1, 1, Op.CREATE, ...create);
  const created = client.reply(1);
  raw(client, 1, 1, Op.CREATE, ...create);
  expect(client.reply(1)).toEqual(created);
  expect(server.openOn(server.path("created"))).toBe(1);
  const handle = created.results[17] as number;
  for (let i = 0; i < 3; i++) {
    client.frame(Kind.REQUEST, [2, 1, Op.WRITE, handle, 0, 0, 0], Buffer.from("once"));
    expect(client.reply(2).results).toEqual([4]);
  }
  expect(readFileSync(server.path("created"), "utf8")).toBe("once");
  raw(client, 4, 1, Op.OPEN, entryOf(created.results).node, RDWR, 1, 0, 0);
  const opened = client.reply(4);
  raw(client, 4, 1, Op.OPEN, entryOf(created.results).node, RDWR, 1, 0, 0);
  expect(client.reply(4).results).toEqual(opened.results);
  expect(server.openOn(server.path("created"))).toBe(2);
});

test("what changes nothing runs again", () => {
  writeFileSync(server.path("f"), "");
  const client = server.client();
  const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
  raw(client, 9, 1, Op.GETATTR, node, 0);
  client.reply(9);
  chmodSync(server.path("f"), 0o600);
  raw(client, 9, 1, Op.GETATTR, node, 0);
  expect(attributesOf(client.reply(9).results).mode).toBe(0o100600);
});

test("a request repeated while it still runs is answered once", () => {
  const a = server.client();
  const b = server.client();
  const node = entryOf(a.ok("LOOKUP", 1, "f")).node;
  entryOf(b.ok("LOOKUP", 1, "f"));
  const handles = [a, b].map((c) => c.ok("OPEN", node, RDWR, 0)[0] as number);
  a.ok("FLOCK", handles[0] as number, Lock.WRITE, 0);
  for (let i = 0; i < 3; i++) raw(b, 7, 1, Op.FLOCK, handles[1] as number, Lock.WRITE, 1);
  b.ok("PING");
  a.ok("FLOCK", handles[0] as number, Lock.UNLOCK, 0);
  expect(b.reply(7).errno).toBe(0);
  b.ok("PING");
  expect(b.answered(7)).toBe(false);
  raw(b, 7, 1, Op.FLOCK, handles[1] as number, Lock.WRITE, 1);
  expect(b.reply(7).errno).toBe(0);
});

test("all slots serve at once", () => {
  const client = server.client();
  const sent = Array.from({ length: SLOTS_MAX }, (_, slot) => client.send(slot, "GETATTR", [1, 0]));
  for (let slot = SLOTS_MAX - 1; slot >= 0; slot--) {
    expect(client.reply(slot).sequence).toBe(sent[slot] as number);
  }
});

test.each<[string, number, number, number, Argument[]]>([
  ["a skipped sequence", 0, 3, Op.PING, []],
  ["a sequence from the past", 0, 0, Op.PING, []],
  ["a slot that was not granted", SLOTS_MAX, 1, Op.PING, []],
  ["an unknown operation", 1, 1, 999, []],
  ["an operation number without meaning", 1, 1, 0, []],
  ["an argument too few", 1, 1, Op.GETATTR, [1]],
  ["an argument too many", 1, 1, Op.GETATTR, [1, 0, 0]],
  ["an argument of another type", 1, 1, Op.GETATTR, ["1", 0]],
  ["a negative node", 1, 1, Op.GETATTR, [-1, 0]],
  ["a handle beyond 32 bits", 1, 1, Op.GETATTR, [1, 2 ** 32]],
])("%s ends the connection", (_, slot, sequence, op, args) => {
  const client = server.client();
  raw(client, slot, sequence, op, ...args);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("the last sequence repeated as another operation ends the connection", () => {
  const client = server.client();
  raw(client, 1, 1, Op.MKDIR, 1, "other", 0o755, ...CALLER);
  client.reply(1);
  raw(client, 1, 2, Op.PING);
  client.reply(1);
  raw(client, 1, 2, Op.MKDIR, 1, "other", 0o755, ...CALLER);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("a slot whose request still runs takes no other", () => {
  const a = server.client();
  const node = entryOf(a.ok("LOOKUP", 1, "f")).node;
  const first = a.ok("OPEN", node, RDWR, 0)[0] as number;
  const second = a.ok("OPEN", node, RDWR, 0)[0] as number;
  a.ok("FLOCK", first, Lock.WRITE, 0);
  a.send(5, "FLOCK", [second, Lock.WRITE, 1]);
  a.send(5, "PING", []);
  expect(a.ended()).toEqual([Goodbye.PROTOCOL, "slot 5 is still in use"]);
});

test("a node is known until all its lookups are forgotten, and the root always", () => {
  writeFileSync(server.path("known"), "");
  const client = server.client();
  const { node } = entryOf(client.ok("LOOKUP", 1, "known"));
  client.ok("LOOKUP", 1, "known");
  client.oneway(Oneway.FORGET, 1, node, 1);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
  client.oneway(Oneway.FORGET, 2, node, 1, 1, 1);
  expect(client.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  expect(client.errno("GETATTR", 1, 0)).toBe(0);
  const again = entryOf(client.ok("LOOKUP", 1, "known")).node;
  expect(again).not.toBe(node);
  expect(client.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  client.oneway(Oneway.FORGET, 1, node, 1);
  expect(client.errno("GETATTR", again, 0)).toBe(0);
  client.oneway(Oneway.FORGET, 1, again, Number.MAX_SAFE_INTEGER);
  expect(client.errno("GETATTR", again, 0)).toBe(E.ESTALE);
});

test.each<[string, Argument[]]>([
  ["a FORGET of another length", [Oneway.FORGET, 2, 1, 1]],
  ["a FORGET of too many", [Oneway.FORGET, FORGETS_MAX + 1]],
  ["a RELEASE of two", [Oneway.RELEASE, 1, 2]],
  ["an unknown one-way message", [99]],
])("%s ends the connection", (_, items) => {
  const client = server.client();
  client.oneway(...items);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

/** LOOKUPs of `count` names in `parent`, many in flight; their nodes. */
function lookUpAll(client: RawClient, parent: number, count: number): number[] {
  const nodes: number[] = [];
  const inFlight = 256;
  for (let from = 0; from < count; from += inFlight) {
    const to = Math.min(from + inFlight, count);
    for (let i = from; i < to; i++) client.send(i - from, "LOOKUP", [parent, `n${i}`]);
    for (let i = from; i < to; i++) nodes.push(entryOf(client.reply(i - from).results).node);
  }
  return nodes;
}

test("a hundred thousand nodes are known at once, forgotten, and their rows used again", async () => {
  const count = 100_000;
  const dir = server.path("huge");
  mkdirSync(dir);
  for (let i = 0; i < count; i++) writeFileSync(`${dir}/n${i}`, "");
  const client = server.client();
  const parent = entryOf(client.ok("LOOKUP", 1, "huge")).node;
  const nodes = lookUpAll(client, parent, count);
  expect(new Set(nodes).size).toBe(count);
  await until(async () => (await gauge("nodes")) === count + 2, "all nodes are counted");
  for (const i of [0, 1, 99, 54_321, count - 1]) {
    expect(lookUpName(client, parent, `n${i}`)).toBe(nodes[i] as number);
    client.oneway(Oneway.FORGET, 1, nodes[i] as number, 1);
  }
  const descriptors = server.descriptors();
  for (let i = 0; i < count; i += FORGETS_MAX) {
    const batch = nodes.slice(i, i + FORGETS_MAX);
    client.oneway(Oneway.FORGET, batch.length, ...batch.flatMap((node) => [node, 1]));
  }
  expect(client.errno("GETATTR", nodes[54_321] as number, 0)).toBe(E.ESTALE);
  await until(async () => (await gauge("nodes")) === 2, "all are forgotten");
  const again = lookUpAll(client, parent, 1000);
  expect(again.filter((node) => nodes.includes(node))).toEqual([]);
  for (const node of again) expect(client.errno("GETATTR", node, 0)).toBe(0);
  expect(server.descriptors()).toBeLessThanOrEqual(descriptors);
}, 60_000);

function lookUpName(client: RawClient, parent: number, name: string): number {
  return entryOf(client.ok("LOOKUP", parent, name)).node;
}

test.each(["/dev/shm", "/tmp"])(
  "more directories than descriptors are kept: evicted ones are found by file handle in %s",
  async (below) => {
    const other = await TestServer.start({ below });
    const count = CACHED_FDS_MAX + 700;
    for (let i = 0; i < count; i++) mkdirSync(other.path(`n${i}/child`), { recursive: true });
    const client = other.client();
    const before = other.descriptors();
    const nodes = lookUpAll(client, 1, count);
    for (const node of nodes) client.ok("LOOKUP", node, "child");
    expect(other.descriptors()).toBeLessThanOrEqual(before + CACHED_FDS_MAX + 10);
    expect(other.descriptors()).toBeGreaterThan(before + CACHED_FDS_MAX - 10);
    // The first ones have no descriptor any more, and their names are about to be wrong.
    for (let i = 0; i < 500; i++) renameSync(other.path(`n${i}`), other.path(`renamed${i}`));
    for (let i = 0; i < 500; i++) {
      expect(client.errno("LOOKUP", nodes[i] as number, "child")).toBe(0);
    }
    // Both directories of a rename, and the one of a link, must survive each other's opening.
    for (let i = 500; i < 600; i++) {
      const from = nodes[i] as number;
      const to = nodes[i + 100] as number;
      client.ok("RENAME", from, "child", to, `moved${i}`, 0);
    }
    expect(readdirSync(other.path("n655")).sort()).toEqual(["child", "moved555"]);
    expect(other.descriptors()).toBeLessThanOrEqual(before + CACHED_FDS_MAX + 10);
    await other.stop();
  },
  60_000,
);

test("a session that ends, in whatever state, leaves no descriptor open", async () => {
  writeFileSync(server.path("f"), "data");
  const warm = server.client();
  const { node: warmNode } = entryOf(warm.ok("LOOKUP", 1, "f"));
  const warmHandle = warm.ok("OPEN", warmNode, RDWR, 0)[0] as number;
  for (let slot = 0; slot < 30; slot++) warm.send(slot, "FSYNC", [warmHandle, 0]);
  for (let slot = 0; slot < 30; slot++) warm.reply(slot);
  server.hangUp();
  await until(async () => (await gauge("sessions")) === 0, "the session is gone");
  const before = server.descriptors();
  for (let round = 0; round < 20; round++) {
    const client = server.client();
    const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
    const handles = Array.from({ length: 50 }, () => client.ok("OPEN", node, RDWR, 0)[0] as number);
    client.ok("SETLK", node, handles[0] as number, round, Lock.READ, 0, 9, 1, 0);
    client.ok("READDIR", 1, 1, 0, 4096, 152);
    client.send(1, "FSYNC", [handles[1] as number, 0]);
    client.send(2, "FLOCK", [handles[2] as number, Lock.WRITE, 1]);
    client.send(3, "FLOCK", [handles[3] as number, Lock.WRITE, 1]);
    if (round % 3 === 0) raw(client, 9, 77, Op.PING);
    if (round % 3 === 1) client.ok("PING");
    client.transport.close();
  }
  await until(() => server.descriptors() <= before, "all descriptors are closed");
  await until(async () => (await gauge("sessions")) === 0, "all sessions are gone");
  expect(server.openOn(server.path("f"))).toBe(0);
  expect(await gauge("handles")).toBe(0);
});

test("connections that say nothing are refused beyond a number, and others then served", async () => {
  const silent = Array.from({ length: GREETERS_MAX + 10 }, () => server.stranger());
  await until(() => {
    for (const client of silent) client.turn(0);
    return silent.some((client) => client.closed);
  }, "one of the silent is refused");
  for (const client of silent) client.transport.close();
  await until(() => {
    const client = server.stranger();
    client.greet();
    return client.hello !== undefined;
  }, "a client that speaks is served");
});

test("a client of another user is refused", async () => {
  // It becomes nobody only after its modules are loaded: the checkout may be root's alone.
  const code = `
    import { SYS } from "${import.meta.dir}/../../src/sys/arch.ts";
    import { rawSyscall } from "${import.meta.dir}/../../src/sys/rawsyscall.ts";
    import { connectUnix, recv } from "${import.meta.dir}/../../src/sys/socket.ts";
    import { allocate } from "${import.meta.dir}/../../src/sys/memory.ts";
    rawSyscall(SYS.setgroups, 0, 0);
    rawSyscall(SYS.setresgid, 65534, 65534, 65534);
    rawSyscall(SYS.setresuid, 65534, 65534, 65534);
    const fd = connectUnix("${server.address}");
    const room = allocate(16);
    let got = fd;
    while (fd >= 0 && (got = recv(fd, room.address, 16)) === -11) Bun.sleepSync(5);
    console.log(fd < 0 ? "connect " + fd : "recv " + got);`;
  const script = `${server.directory}/other.ts`;
  writeFileSync(script, code);
  const asNobody = () => String(Bun.spawnSync([process.execPath, script]).stdout).trim();
  expect(asNobody()).toBe(`connect ${-E.EACCES}`);
  chmodSync(server.address, 0o666);
  expect(asNobody()).toBe("recv 0");
  await until(() => server.log.includes("uid 65534"), "the refusal is logged");
});
