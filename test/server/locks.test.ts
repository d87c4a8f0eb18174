/** Locks: what conflicts, who is told, waiting, giving up, and what ends a lock. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { Goodbye, Lock, OpenFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { WAITS_MAX } from "../../src/wire/limits.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer, until } from "../support/server.ts";

const END = 0x7fff_ffff_ffff_ffffn;
const WAIT = 1;

let server: TestServer;

/** A session with `f` open. */
class Locker {
  readonly client: RawClient;
  readonly node: number;
  handle = 0;

  constructor(flags: number = OpenFlag.READ | OpenFlag.WRITE) {
    this.client = server.client();
    this.node = entryOf(this.client.ok("LOOKUP", this.client.root, "f")).node;
    this.handle = this.open(flags);
  }

  open(flags: number = OpenFlag.READ | OpenFlag.WRITE): number {
    return this.client.ok("OPEN", this.node, flags, 0)[0] as number;
  }

  lockArguments(
    owner: number | bigint,
    type: number,
    start: number,
    end: number | bigint,
    pid = 7,
  ) {
    return [this.node, this.handle, owner, type, start, end, pid] as const;
  }

  lock(owner: number | bigint, type: number, start: number, end: number | bigint): number {
    return this.client.errno("SETLK", ...this.lockArguments(owner, type, start, end), 0);
  }

  test(owner: number, type: number, start: number, end: number | bigint): unknown[] {
    return this.client.ok("GETLK", this.node, owner, type, start, end);
  }

  flock(type: number, handle = this.handle): number {
    return this.client.errno("FLOCK", handle, type, 0);
  }
}

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(() => writeFileSync(server.path("f"), "data"));
afterEach(async () => {
  server.hangUp();
  await until(() => server.openOn(server.path("f")) === 0, "every session is gone");
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("owners of one session conflict where they overlap, and only there", () => {
  const a = new Locker();
  expect(a.lock(1, Lock.WRITE, 0, 9)).toBe(0);
  expect(a.lock(2, Lock.WRITE, 9, 9)).toBe(E.EAGAIN);
  expect(a.lock(2, Lock.READ, 5, 20)).toBe(E.EAGAIN);
  expect(a.lock(2, Lock.WRITE, 10, END)).toBe(0);
  expect(a.lock(1, Lock.WRITE, 0, 9)).toBe(0);
  expect(a.lock(1, Lock.UNLOCK, 0, 4)).toBe(0);
  expect(a.lock(2, Lock.WRITE, 0, 4)).toBe(0);
  expect(a.lock(2, Lock.WRITE, 5, 5)).toBe(E.EAGAIN);
});

test("readers share, a writer does not; an owner may turn one into the other", () => {
  const a = new Locker();
  const b = new Locker();
  expect(a.lock(1, Lock.READ, 0, 9)).toBe(0);
  expect(b.lock(1, Lock.READ, 0, 9)).toBe(0);
  expect(b.lock(1, Lock.WRITE, 0, 9)).toBe(E.EAGAIN);
  expect(a.lock(1, Lock.UNLOCK, 0, END)).toBe(0);
  expect(b.lock(1, Lock.WRITE, 0, 9)).toBe(0);
  expect(a.lock(1, Lock.READ, 9, 9)).toBe(E.EAGAIN);
});

test("owners are 64-bit numbers, told apart to the last bit", () => {
  const a = new Locker();
  expect(a.lock(0xffff_ffff_ffff_fffen, Lock.WRITE, 0, 0)).toBe(0);
  expect(a.lock(0xffff_ffff_ffff_ffffn, Lock.WRITE, 0, 0)).toBe(E.EAGAIN);
  expect(a.lock(0xffff_ffff_ffff_fffen, Lock.WRITE, 0, 0)).toBe(0);
});

test("GETLK tells the conflicting range and, of this session, its process", () => {
  const a = new Locker();
  const b = new Locker();
  expect(a.client.errno("SETLK", ...a.lockArguments(1, Lock.WRITE, 100, 199, 4711), 0)).toBe(0);
  expect(a.test(2, Lock.READ, 150, END)).toEqual([Lock.WRITE, 100, 199, 4711]);
  expect(b.test(2, Lock.READ, 150, END)).toEqual([Lock.WRITE, 100, 199, 0]);
  expect(a.test(2, Lock.READ, 0, 99)[0]).toBe(Lock.UNLOCK);
  expect(a.test(1, Lock.WRITE, 0, END)[0]).toBe(Lock.UNLOCK);
  expect(a.lock(1, Lock.WRITE, 200, END)).toBe(0);
  expect(a.test(2, Lock.READ, 1000, 1000)).toEqual([Lock.WRITE, 100, END, 4711]);
});

test("locks of the HOST's own processes conflict, both ways", async () => {
  const a = new Locker();
  const take = (command: string) =>
    Bun.spawnSync(["flock", "-n", command, server.path("f"), "true"]);
  expect(a.flock(Lock.WRITE)).toBe(0);
  expect(take("-s").exitCode).toBe(1);
  expect(a.flock(Lock.READ)).toBe(0);
  expect(take("-s").exitCode).toBe(0);
  expect(take("-x").exitCode).toBe(1);
  expect(a.flock(Lock.UNLOCK)).toBe(0);
  const holder = Bun.spawn(["flock", server.path("f"), "sh", "-c", "echo locked; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  await holder.stdout.getReader().read();
  expect(a.flock(Lock.READ)).toBe(E.EAGAIN);
  a.client.send(1, "FLOCK", [a.handle, Lock.WRITE, WAIT]);
  expect(a.client.answered(1)).toBe(false);
  holder.stdin.end();
  expect(a.client.reply(1).errno).toBe(0);
  await holder.exited;
});

test("flock is per handle; two handles of one session conflict", () => {
  const a = new Locker();
  const other = a.open(OpenFlag.READ);
  expect(a.flock(Lock.WRITE)).toBe(0);
  expect(a.flock(Lock.READ, other)).toBe(E.EAGAIN);
  a.client.oneway(Oneway.RELEASE, a.handle);
  expect(a.flock(Lock.READ, other)).toBe(0);
  expect(a.flock(Lock.READ, 0)).toBe(E.EBADF);
  expect(a.flock(Lock.READ, 999)).toBe(E.EBADF);
});

test("a wait is answered when the lock is free; other requests are served meanwhile", () => {
  const a = new Locker();
  const b = new Locker();
  expect(a.lock(1, Lock.WRITE, 0, END)).toBe(0);
  b.client.send(5, "SETLK", [...b.lockArguments(1, Lock.WRITE, 10, 20), WAIT]);
  for (let i = 0; i < 20; i++) b.client.ok("GETATTR", b.node, 0);
  expect(b.client.answered(5)).toBe(false);
  expect(a.lock(1, Lock.UNLOCK, 0, END)).toBe(0);
  expect(b.client.reply(5).errno).toBe(0);
  expect(a.lock(1, Lock.WRITE, 15, 15)).toBe(E.EAGAIN);
});

test("CANCEL ends a wait with EINTR, and the lock is not taken", () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, END);
  b.client.send(5, "SETLK", [...b.lockArguments(1, Lock.WRITE, 0, END), WAIT]);
  b.client.cancel(5);
  expect(b.client.reply(5).errno).toBe(E.EINTR);
  b.client.send(5, "FLOCK", [b.handle, Lock.WRITE, WAIT]);
  expect(b.client.reply(5).errno).toBe(0);
  a.client.send(6, "FLOCK", [a.handle, Lock.WRITE, WAIT]);
  a.client.ok("GETATTR", a.node, 0);
  a.client.cancel(6);
  expect(a.client.reply(6).errno).toBe(E.EINTR);
  a.lock(1, Lock.UNLOCK, 0, END);
  expect(b.lock(1, Lock.WRITE, 0, END)).toBe(0);
});

test("CANCEL of what has been answered, or was never asked, is nothing", () => {
  const a = new Locker();
  a.client.cancel(0);
  a.client.cancel(300);
  expect(a.lock(1, Lock.WRITE, 0, END)).toBe(0);
  expect(a.client.goodbye).toBeUndefined();
});

test("waiting and cancelling many times over loses no thread", async () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, END);
  for (let round = 0; round < 20; round++) {
    for (let slot = 1; slot <= 10; slot++) {
      b.client.send(slot, "SETLK", [...b.lockArguments(slot, Lock.WRITE, 0, END), WAIT]);
    }
    for (let slot = 1; slot <= 10; slot++) b.client.cancel(slot);
    for (let slot = 1; slot <= 10; slot++) expect(b.client.reply(slot).errno).toBe(E.EINTR);
  }
  expect((await server.snapshot()).totals.threads).toBeLessThanOrEqual(2 * 24);
});

test("more waits than there are threads for are all answered, and can be cancelled", async () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, END);
  a.flock(Lock.WRITE);
  const waits = 100;
  for (let slot = 1; slot <= waits; slot++) {
    const handle = b.open();
    if (slot % 2 === 0) b.client.send(slot, "FLOCK", [handle, Lock.READ, WAIT]);
    else b.client.send(slot, "SETLK", [...b.lockArguments(slot, Lock.READ, 0, END), WAIT]);
  }
  b.client.ok("PING");
  for (let slot = 91; slot <= waits; slot++) b.client.cancel(slot);
  for (let slot = 91; slot <= waits; slot++) expect(b.client.reply(slot).errno).toBe(E.EINTR);
  for (let slot = 1; slot <= 90; slot++) expect(b.client.answered(slot)).toBe(false);
  a.lock(1, Lock.UNLOCK, 0, END);
  a.flock(Lock.UNLOCK);
  for (let slot = 1; slot <= 90; slot++) expect(b.client.reply(slot).errno).toBe(0);
  expect((await server.snapshot()).totals.threads).toBeLessThanOrEqual(2 * 24);
});

test("a session that waits for more than it may is told so", () => {
  const a = new Locker();
  const b = new Locker();
  a.flock(Lock.WRITE);
  for (let slot = 1; slot <= WAITS_MAX; slot++) {
    b.client.send(slot, "FLOCK", [b.handle, Lock.WRITE, WAIT]);
  }
  expect(b.client.errno("FLOCK", b.handle, Lock.WRITE, WAIT)).toBe(E.ENOLCK);
  expect(b.client.errno("PING")).toBe(0);
});

test("an attempt that fails leaves nothing open", () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, END);
  const before = server.openOn(server.path("f"));
  for (let owner = 1; owner < 50; owner++) {
    expect(b.lock(owner, Lock.WRITE, 0, 9)).toBe(E.EAGAIN);
  }
  expect(server.openOn(server.path("f"))).toBe(before);
});

test("UNLOCK ends all locks of an owner, and of nobody else", () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, 9);
  a.lock(1, Lock.READ, 50, 59);
  a.lock(2, Lock.WRITE, 100, 109);
  a.client.ok("UNLOCK", a.node, 1);
  expect(b.lock(1, Lock.WRITE, 0, 99)).toBe(0);
  expect(b.lock(1, Lock.WRITE, 100, 109)).toBe(E.EAGAIN);
  a.client.ok("UNLOCK", a.node, 77);
});

test("releasing the handle that was locked through ends its locks", () => {
  const a = new Locker();
  const b = new Locker();
  a.lock(1, Lock.WRITE, 0, 9);
  a.client.oneway(Oneway.RELEASE, a.handle);
  a.client.ok("PING");
  expect(b.lock(1, Lock.WRITE, 0, 9)).toBe(0);
});

test("a session that ends gives its locks back, waited for or not", () => {
  const a = new Locker();
  const b = new Locker();
  const c = new Locker();
  a.lock(1, Lock.WRITE, 0, END);
  c.client.send(1, "SETLK", [...c.lockArguments(1, Lock.WRITE, 0, END), WAIT]);
  c.client.ok("PING");
  c.client.transport.close();
  b.client.send(1, "SETLK", [...b.lockArguments(1, Lock.WRITE, 0, END), WAIT]);
  b.client.ok("PING");
  a.client.frame(Kind.GOODBYE, [Goodbye.DONE, ""]);
  a.client.ended();
  expect(b.client.reply(1).errno).toBe(0);
});

test("a lock for writing needs a handle, a range that is one, and a known node", () => {
  const a = new Locker();
  a.handle = 0;
  expect(a.lock(1, Lock.WRITE, 0, 0)).toBe(E.EBADF);
  expect(a.client.errno("GETLK", 99_999, 1, Lock.READ, 0, 0)).toBe(E.ESTALE);
  expect(a.client.errno("UNLOCK", 99_999, 1)).toBe(E.ESTALE);
  for (const [type, start, end] of [
    [3, 0, 0],
    [0, 5, 4],
    [0, 0, 0x8000_0000_0000_0000n],
  ] as const) {
    const other = new Locker();
    other.client.send(0, "GETLK", [other.node, 1, type, start, end]);
    expect(other.client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  }
});

test("nothing but a regular file is opened for locking", () => {
  const a = new Locker();
  Bun.spawnSync(["mknod", server.path("null"), "c", "1", "3"]);
  Bun.spawnSync(["mkfifo", server.path("fifo")]);
  for (const name of ["null", "fifo"]) {
    const { node } = entryOf(a.client.ok("LOOKUP", a.client.root, name));
    expect(a.client.errno("GETLK", node, 1, Lock.READ, 0, 0)).toBe(E.EINVAL);
    expect(a.client.errno("SETLK", node, a.handle, 1, Lock.READ, 0, 0, 1, 0)).toBe(E.EINVAL);
  }
});
