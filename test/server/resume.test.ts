/** Sessions that outlive their connections: what goes on, what is run again, what ends. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { Goodbye, Lock, OpenFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { SESSIONS_MAX } from "../../src/wire/limits.ts";
import { Event, Oneway, Op } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { Argument, RawClient } from "../support/client.ts";
import { settle, TestServer, until } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const CALLER = [0o022, 0, 0, -1] as const;
const WAIT = 1;
const LONG_MS = 60_000;

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start({ leaseMs: LONG_MS });
});
beforeEach(() => {
  for (const name of readdirSync(server.share)) rmSync(server.path(name), { recursive: true });
  writeFileSync(server.path("f"), "data");
});
afterEach(async () => {
  server.hangUp();
  await until(async () => (await gauge("sessions")) === 0, "every session has ended");
});
afterAll(async () => {
  expect(server.log).not.toContain("fault");
  expect(await server.stop()).toBe(0);
});

async function gauge(name: string): Promise<number> {
  return (await server.snapshot()).totals[name] ?? 0;
}

/** Ends the connection of `client` and waits until the server knows. */
async function cut(client: RawClient): Promise<void> {
  const before = await gauge("detached");
  client.transport.close();
  await until(async () => (await gauge("detached")) === before + 1, "the session is detached");
}

/** Sends a request once more, as it was. */
function again(client: RawClient, slot: number, op: number, ...args: Argument[]): void {
  client.frame(Kind.REQUEST, [slot, client.sequences[slot] as number, op, ...args]);
  client.transport.flush();
}

/** Waits, without taking in an answer, until the server has served all that was sent. */
async function served(client: RawClient): Promise<void> {
  const name = `served-${crypto.randomUUID()}`;
  client.send(511, "MKDIR", [1, name, 0o755, ...CALLER]);
  await until(() => existsSync(server.path(name)), "the server has come to this");
}

/** Sends requests whose answers are lost with the connection; the next connection. */
async function lose(client: RawClient, send: () => void): Promise<RawClient> {
  send();
  await served(client);
  await cut(client);
  return server.resumed(client);
}

test("nodes, handles and slots go on where they were", async () => {
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "f"));
  const [handle] = first.ok("OPEN", node, RDWR, 0) as [number];
  await cut(first);
  const next = server.resumed(first);
  expect(next.hello).toMatchObject({ resumed: true, lives: 1, oneways: 0, leaseMs: LONG_MS });
  expect(next.call("READ", [handle, 0, 100]).payload.toString()).toBe("data");
  expect(next.errno("GETATTR", node, 0)).toBe(0);
  expect(await gauge("sessions")).toBe(1);
  expect(await gauge("detached")).toBe(0);
});

test("a session goes on at its own thread, wherever the client arrives", async () => {
  const clients = Array.from({ length: 4 }, () => server.client());
  const handles = clients.map((client) => {
    const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
    return client.ok("OPEN", node, RDWR, 0)[0] as number;
  });
  const before = await gauge("resumes");
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < clients.length; i++) {
      const old = clients[i] as RawClient;
      // All threads have as many connections: this one goes to the first of them.
      const next = server.resumed(old);
      expect(next.hello?.resumed).toBe(true);
      expect(next.call("READ", [handles[i] as number, 0, 100]).payload.toString()).toBe("data");
      expect(old.ended()).toBeUndefined();
      clients[i] = next;
    }
  }
  await until(async () => (await gauge("resumes")) === before + 12, "all were continued");
  expect(await gauge("sessions")).toBe(4);
});

test("what is sent right behind the HELLO arrives with it at another thread", async () => {
  const clients = Array.from({ length: 4 }, () => server.client());
  for (const old of clients) {
    const next = server.stranger();
    next.sayHello({ ...old.said, resumes: true, events: old.eventCount });
    next.sequences.splice(0, 512, ...old.sequences);
    for (let slot = 1; slot < 100; slot++) next.send(slot, "LOOKUP", [1, "f"]);
    for (let slot = 1; slot < 100; slot++) expect(next.reply(slot).errno).toBe(0);
    expect(next.hello?.resumed).toBe(true);
  }
});

test("a HELLO that comes byte by byte is one", async () => {
  const old = server.client();
  await cut(old);
  const { encodeHello } = await import("../../src/wire/hello.ts");
  const { putPrefix } = await import("../../src/wire/frame.ts");
  const { send } = await import("../../src/sys/socket.ts");
  const { allocate } = await import("../../src/sys/memory.ts");
  const hello = encodeHello({ ...old.said, resumes: true, events: old.eventCount });
  const room = allocate(8 + hello.length);
  putPrefix(room.view, 0, Kind.HELLO, hello.length, 0);
  room.bytes.set(hello, 8);
  const next = server.stranger();
  for (let at = 0; at < room.size; at++) {
    send(next.transport.fd, room.address + at, 1, 0);
    if (at % 50 === 0) await Bun.sleep(1);
  }
  next.pump(() => next.hello !== undefined);
  expect(next.hello?.resumed).toBe(true);
});

test("what changes something runs once, though its answer is lost", async () => {
  const first = server.client();
  const make = [1, "made", 0o755, ...CALLER] as const;
  const create = [1, "created", RDWR, 0o644, ...CALLER] as const;
  const next = await lose(first, () => {
    first.send(3, "MKDIR", make);
    first.send(4, "CREATE", create);
  });
  rmSync(server.path("made"), { recursive: true });
  again(next, 3, Op.MKDIR, ...make);
  again(next, 4, Op.CREATE, ...create);
  expect(next.reply(3).errno).toBe(0);
  const created = next.reply(4);
  expect(created.errno).toBe(0);
  expect(existsSync(server.path("made"))).toBe(false);
  expect(server.openOn(server.path("created"))).toBe(1);
  const wrote = next.call("WRITE", [created.results[17] as number, 0, 0, 0], Buffer.from("new"));
  expect(wrote.results).toEqual([3]);
});

test("a wait for a lock goes on over a cut, and is answered to the new connection", async () => {
  const holder = server.client();
  const first = server.client();
  const { node } = entryOf(holder.ok("LOOKUP", 1, "f"));
  const [held] = holder.ok("OPEN", node, RDWR, 0) as [number];
  const { node: same } = entryOf(first.ok("LOOKUP", 1, "f"));
  const [wanted] = first.ok("OPEN", same, RDWR, 0) as [number];
  holder.ok("FLOCK", held, Lock.WRITE, 0);
  first.send(7, "FLOCK", [wanted, Lock.WRITE, WAIT]);
  first.ok("PING");
  await cut(first);
  const next = server.resumed(first);
  again(next, 7, Op.FLOCK, wanted, Lock.WRITE, WAIT);
  next.ok("PING");
  expect(next.answered(7)).toBe(false);
  holder.ok("FLOCK", held, Lock.UNLOCK, 0);
  expect(next.reply(7).errno).toBe(0);
  expect(holder.errno("FLOCK", held, Lock.WRITE, 0)).toBe(E.EAGAIN);
});

test("a lock that is had while nobody is connected is answered from memory", async () => {
  const holder = server.client();
  const first = server.client();
  const { node } = entryOf(holder.ok("LOOKUP", 1, "f"));
  const [held] = holder.ok("OPEN", node, RDWR, 0) as [number];
  const { node: same } = entryOf(first.ok("LOOKUP", 1, "f"));
  const [wanted] = first.ok("OPEN", same, RDWR, 0) as [number];
  holder.ok("SETLK", node, held, 1, Lock.WRITE, 0, 9, 1, 0);
  first.send(7, "SETLK", [same, wanted, 1, Lock.WRITE, 0, 9, 1, WAIT]);
  first.ok("PING");
  await cut(first);
  holder.ok("SETLK", node, held, 1, Lock.UNLOCK, 0, 9, 1, 0);
  await until(async () => (await gauge("waiting")) === 0, "the wait has ended");
  const next = server.resumed(first);
  again(next, 7, Op.SETLK, same, wanted, 1, Lock.WRITE, 0, 9, 1, WAIT);
  expect(next.reply(7).errno).toBe(0);
  expect(holder.errno("SETLK", node, held, 1, Lock.READ, 0, 9, 1, 0)).toBe(E.EAGAIN);
  next.ok("SETLK", same, wanted, 1, Lock.UNLOCK, 0, 9, 1, 0);
  expect(holder.errno("SETLK", node, held, 1, Lock.READ, 0, 9, 1, 0)).toBe(0);
});

test("one-way messages are counted, for the client to know which arrived", async () => {
  const first = server.client();
  const nodes = ["f", "f", "f"].map((name) => entryOf(first.ok("LOOKUP", 1, name)).node);
  first.oneway(Oneway.FORGET, 1, nodes[0] as number, 1);
  first.oneway(Oneway.FORGET, 1, nodes[0] as number, 1);
  await served(first);
  await cut(first);
  const next = server.resumed(first);
  expect(next.hello?.oneways).toBe(2);
  next.oneway(Oneway.FORGET, 1, nodes[0] as number, 1);
  expect(next.errno("GETATTR", nodes[0] as number, 0)).toBe(E.ESTALE);
});

test("a lookup whose answer is lost counts once when it is repeated", async () => {
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "f"));
  const before = await gauge("lookupsUndone");
  const next = await lose(first, () => first.send(2, "LOOKUP", [1, "f"]));
  again(next, 2, Op.LOOKUP, 1, "f");
  expect(entryOf(next.reply(2).results).node).toBe(node);
  next.oneway(Oneway.FORGET, 1, node, 1);
  expect(next.errno("GETATTR", node, 0)).toBe(0);
  next.oneway(Oneway.FORGET, 1, node, 1);
  expect(next.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  await until(async () => (await gauge("lookupsUndone")) === before + 1, "it was taken back");
});

test("so do the lookups of a directory that is read again, and none outlives a CANCEL", async () => {
  const count = 300;
  mkdirSync(server.path("d"));
  for (let i = 0; i < count; i++) writeFileSync(server.path(`d/n${i}`), "");
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "d"));
  const nodes = Array.from({ length: count }, (_, i) => {
    return entryOf(first.ok("LOOKUP", node, `n${i}`)).node;
  });
  const read = [1, node, 0, 1 << 20, 152] as const;
  const second = await lose(first, () => first.send(2, "READDIR", read));
  again(second, 2, Op.READDIR, ...read);
  await served(second);
  await cut(second);
  const third = server.resumed(second);
  third.cancel(2);
  expect(third.reply(2).errno).toBe(E.EINTR);
  for (const known of nodes) third.oneway(Oneway.FORGET, 1, known, 1);
  for (const known of nodes) expect(third.errno("GETATTR", known, 0)).toBe(E.ESTALE);
  expect(third.call("READDIR", [2, node, 0, 1 << 20, 152]).results[0]).toBe(count + 2);
});

test("a lookup that is taken back and found again has a new number if it was the only one", async () => {
  const first = server.client();
  const next = await lose(first, () => first.send(2, "LOOKUP", [1, "f"]));
  again(next, 2, Op.LOOKUP, 1, "f");
  const { node } = entryOf(next.reply(2).results);
  expect(next.errno("GETATTR", node, 0)).toBe(0);
  next.oneway(Oneway.FORGET, 1, node, 1);
  expect(next.errno("GETATTR", node, 0)).toBe(E.ESTALE);
});

test("forgetting what a lost lookup counted and then repeating it harms nothing", async () => {
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "f"));
  const next = await lose(first, () => first.send(2, "LOOKUP", [1, "f"]));
  next.oneway(Oneway.FORGET, 1, node, 2);
  again(next, 2, Op.LOOKUP, 1, "f");
  const found = entryOf(next.reply(2).results).node;
  expect(found).not.toBe(node);
  expect(next.errno("GETATTR", found, 0)).toBe(0);
});

test("CANCEL of a request that never came is its answer, now and later", async () => {
  const first = server.client();
  await cut(first);
  const next = server.resumed(first);
  next.sequences[5] = 1;
  next.cancel(5);
  expect(next.reply(5)).toMatchObject({ sequence: 1, errno: E.EINTR });
  again(next, 5, Op.MKDIR, 1, "never", 0o755, ...CALLER);
  expect(next.reply(5).errno).toBe(E.EINTR);
  expect(existsSync(server.path("never"))).toBe(false);
  expect(next.send(5, "PING", [])).toBe(2);
  expect(next.reply(5).errno).toBe(0);
});

test("CANCEL of what was done while nobody was connected tells what came of it", async () => {
  const first = server.client();
  const next = await lose(first, () => first.send(3, "MKDIR", [1, "done", 0o755, ...CALLER]));
  next.cancel(3);
  expect(next.reply(3).errno).toBe(0);
  next.cancel(3);
  next.ok("PING");
  expect(next.answered(3)).toBe(false);
});

test("CANCEL ends a wait that began on an earlier connection", async () => {
  const holder = server.client();
  const first = server.client();
  const { node } = entryOf(holder.ok("LOOKUP", 1, "f"));
  const [held] = holder.ok("OPEN", node, RDWR, 0) as [number];
  const { node: same } = entryOf(first.ok("LOOKUP", 1, "f"));
  const [wanted] = first.ok("OPEN", same, RDWR, 0) as [number];
  holder.ok("FLOCK", held, Lock.WRITE, 0);
  first.send(7, "FLOCK", [wanted, Lock.WRITE, WAIT]);
  first.ok("PING");
  await cut(first);
  const next = server.resumed(first);
  next.cancel(7);
  expect(next.reply(7).errno).toBe(E.EINTR);
});

test("CANCEL of a lookup whose answer is under way takes nothing back", () => {
  const client = server.client();
  client.send(2, "LOOKUP", [1, "f"]);
  client.cancel(2);
  const { node } = entryOf(client.reply(2).results);
  client.ok("PING");
  expect(client.answered(2)).toBe(false);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
});

test("nothing is told to a client that has missed nothing", async () => {
  const first = server.client();
  first.ok("LOOKUP", 1, "f");
  writeFileSync(server.path("g"), "");
  settle(first, 1, server.share);
  await cut(first);
  const next = server.resumed(first);
  next.ok("PING");
  await Bun.sleep(50);
  next.ok("PING");
  expect(next.events).toEqual([]);
});

test("whoever may have missed a change is told that everything changed", async () => {
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "f"));
  const hasChange = (client: RawClient) =>
    client.events.some(([event, what]) => event === Event.CHANGED && what === node);
  settle(first, 1, server.share);
  await cut(first);
  chmodSync(server.path("f"), 0o600);
  const second = server.resumed(first);
  second.pump(() => hasChange(second) || second.closed);
  expect(hasChange(second)).toBe(true);
  // An event that was sent and did not arrive.
  settle(second, 1, server.share);
  await cut(second);
  second.eventCount--;
  const third = server.resumed(second);
  third.pump(() => hasChange(third) || third.closed);
  expect(hasChange(third)).toBe(true);
  // Both count from there.
  settle(third, 1, server.share);
  await cut(third);
  const fourth = server.resumed(third);
  fourth.ok("PING");
  expect(fourth.events).toEqual([]);
});

test("a session that was begun may not be begun again, and of two connections the newer has it", () => {
  const first = server.client();
  const same = server.stranger();
  same.greet({ session: first.said.session });
  expect(same.goodbye).toEqual([Goodbye.PROTOCOL, "session exists already"]);
  expect(first.ok("PING")).toEqual([]);
  const newer = server.resumed(first);
  expect(newer.hello?.resumed).toBe(true);
  first.ended();
  expect(newer.ok("PING")).toEqual([]);
});

test("an unknown session, and one that was ended, begin anew and unattached", async () => {
  const stranger = server.stranger();
  stranger.greet({ resumes: true, events: 77 });
  expect(stranger.hello).toMatchObject({ resumed: false, oneways: 0, lives: 1 });
  stranger.send(0, "GETATTR", [1, 0]);
  expect(stranger.ended()).toEqual([Goodbye.PROTOCOL, "operation before ATTACH"]);
  const first = server.client();
  first.frame(Kind.GOODBYE, [Goodbye.DONE, ""]);
  first.ended();
  expect(server.resumed(first).hello?.resumed).toBe(false);
  const hasGreeted = server.stranger();
  hasGreeted.greet();
  hasGreeted.transport.close();
  await until(async () => (await gauge("sessions")) === 1, "it is gone");
  expect(server.resumed(hasGreeted).hello?.resumed).toBe(false);
});

test("a session of another epoch than its client knows of is ended, and a new one begins", async () => {
  const first = server.client();
  const other = server.stranger();
  other.greet({ session: first.said.session, resumes: true, epoch: 1 });
  expect(other.hello).toMatchObject({ resumed: false, oneways: 0 });
  expect(other.ok("ATTACH", server.share, 1, 0).length).toBeGreaterThan(1);
  first.ended();
  await until(async () => (await gauge("sessions")) === 1, "the other one is gone");
  expect(other.ok("PING")).toEqual([]);
});

test("a violation ends the connection and not the session", () => {
  const first = server.client();
  const { node } = entryOf(first.ok("LOOKUP", 1, "f"));
  first.frame(Kind.REQUEST, [9, 77, Op.PING]);
  expect(first.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  const next = server.resumed(first);
  expect(next.hello?.resumed).toBe(true);
  expect(next.errno("GETATTR", node, 0)).toBe(0);
  next.frame(Kind.GOODBYE, [Goodbye.PROTOCOL, "what was that"]);
  next.ended();
  expect(server.resumed(next).hello?.resumed).toBe(true);
});

test("a session's locks end with its lease, and its id is worth nothing then", async () => {
  const other = await TestServer.start({ leaseMs: 300 });
  writeFileSync(other.path("f"), "");
  const first = other.client();
  const second = other.client();
  const [a, b] = [first, second].map((client) => {
    const { node } = entryOf(client.ok("LOOKUP", 1, "f"));
    return client.ok("OPEN", node, RDWR, 0)[0] as number;
  }) as [number, number];
  first.ok("FLOCK", a, Lock.WRITE, 0);
  first.transport.close();
  expect(second.errno("FLOCK", b, Lock.WRITE, 0)).toBe(E.EAGAIN);
  second.send(1, "FLOCK", [b, Lock.WRITE, WAIT]);
  expect(second.reply(1).errno).toBe(0);
  expect(other.resumed(first).hello?.resumed).toBe(false);
  expect(await other.stop()).toBe(0);
});

test("where there is no room, the session that was left first gives way", async () => {
  const left = Array.from({ length: 3 }, () => server.client());
  for (const client of left) await cut(client);
  for (let i = left.length; i < SESSIONS_MAX; i++) server.client();
  const fds = server.descriptors();
  expect(server.client().ok("PING")).toEqual([]);
  await until(async () => (await gauge("sessions")) === SESSIONS_MAX, "one has given way");
  expect(server.descriptors()).toBeLessThanOrEqual(fds + 1);
  const [first, second, third] = left as [RawClient, RawClient, RawClient];
  expect(server.resumed(third).hello?.resumed).toBe(true);
  expect(server.resumed(first).hello?.resumed).toBe(false);
  // It took the place of the second one, the last that had no connection.
  const refused = server.stranger();
  refused.greet();
  expect(refused.goodbye).toEqual([Goodbye.BUSY, "too many sessions"]);
  expect(server.resumed(second).goodbye).toEqual([Goodbye.BUSY, "too many sessions"]);
}, 60_000);

test("another user's session is not there, though the id is known", async () => {
  const shared = await TestServer.start({ uids: [0, 65_534], leaseMs: LONG_MS });
  const first = shared.client();
  const code = `
    import { SYS } from "${import.meta.dir}/../../src/sys/arch.ts";
    import { rawSyscall } from "${import.meta.dir}/../../src/sys/rawsyscall.ts";
    import { RawClient } from "${import.meta.dir}/../support/client.ts";
    rawSyscall(SYS.setgroups, 0, 0);
    rawSyscall(SYS.setresgid, 65534, 65534, 65534);
    rawSyscall(SYS.setresuid, 65534, 65534, 65534);
    for (const resumes of [true, false]) {
      const client = new RawClient("${shared.address}");
      client.greet({ session: "${first.said.session}", resumes });
      console.log(client.hello?.resumed, client.goodbye?.[1]);
      client.close();
      await Bun.sleep(100);
    }`;
  const script = `${shared.directory}/other.ts`;
  writeFileSync(script, code);
  const { stdout } = Bun.spawnSync([process.execPath, script]);
  expect(String(stdout)).toBe("false undefined\nfalse undefined\n");
  expect(first.ok("PING")).toEqual([]);
  first.transport.close();
  expect(shared.resumed(first).hello?.resumed).toBe(true);
  expect(await shared.stop()).toBe(0);
});

test("neither log nor info tells a session's id", async () => {
  const client = server.client();
  client.frame(Kind.REQUEST, [9, 77, Op.PING]);
  client.ended();
  const { session } = client.said;
  await until(() => server.log.includes("skipped"), "the violation is logged");
  expect(server.log).not.toContain(session);
  expect(JSON.stringify(await server.snapshot())).not.toContain(session);
  server.resumed(client);
});
