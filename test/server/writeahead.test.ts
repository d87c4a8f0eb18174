/** WRITEs whose data comes slowly: what is written before it is here whole, and what never is. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { allocate } from "../../src/sys/memory.ts";
import { POLLOUT, PollSet } from "../../src/sys/poll.ts";
import { send } from "../../src/sys/socket.ts";
import { OpenFlag, WriteFlag } from "../../src/wire/constants.ts";
import { Kind, putPrefix } from "../../src/wire/frame.ts";
import { PAYLOAD_MAX } from "../../src/wire/limits.ts";
import { Op } from "../../src/wire/ops.ts";
import { Writer } from "../../src/wire/writer.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer, until } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const LONG_MS = 60_000;
const SLOT = 3;
/** What is sent of a payload before the pause. */
const BEGINNING = 700_000;
/** So much of it is surely written meanwhile. */
const SURELY = 256 * 1024;

const data = Buffer.alloc(
  PAYLOAD_MAX,
  Uint8Array.from({ length: 251 }, (_, i) => i),
);
const frame = allocate(PAYLOAD_MAX + 4096);

let server: TestServer;
let client: RawClient;

beforeAll(async () => {
  server = await TestServer.start({ leaseMs: LONG_MS });
});
beforeEach(() => {
  for (const name of readdirSync(server.share)) rmSync(server.path(name), { recursive: true });
  writeFileSync(server.path("f"), "");
  client = server.client();
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

function open(flags = RDWR): number {
  const { node } = entryOf(client.ok("LOOKUP", client.root, "f"));
  return client.ok("OPEN", node, flags, 0)[0] as number;
}

/** Puts a WRITE of `data` at `offset` into `frame`, the next request of SLOT; its length. */
function compose(handle: number, offset: number, flags = 0): number {
  const sequence = (client.sequences[SLOT] as number) + 1;
  client.sequences[SLOT] = sequence;
  const w = new Writer(frame);
  w.at = 8;
  w.array(7);
  for (const item of [SLOT, sequence, Op.WRITE, handle, offset, flags, 0]) w.uint(item);
  putPrefix(frame.view, 0, Kind.REQUEST, w.at - 8, data.length);
  frame.bytes.set(data, w.at);
  return w.at + data.length;
}

/** Sends bytes [from, to) of `frame`. */
function pass(from: number, to: number): void {
  const polls = new PollSet(1);
  const { fd } = client.transport;
  for (let at = from; at < to; ) {
    const sent = send(fd, frame.address + at, to - at, 0);
    if (sent > 0) at += sent;
    else if (sent !== -E.EAGAIN) throw new Error(`send: errno ${-sent}`);
    polls.clear();
    polls.add(fd, POLLOUT);
    polls.wait(LONG_MS);
  }
}

const size = () => statSync(server.path("f")).size;

async function cut(): Promise<void> {
  client.transport.close();
  await until(async () => (await gauge("detached")) === 1, "the session is detached");
}

test("data is written before the last of it has come, and all of it is counted", async () => {
  const handle = open();
  for (const offset of [0, 4096, 3_000_001]) {
    const before = size();
    const length = compose(handle, offset);
    pass(0, BEGINNING);
    await until(() => size() >= Math.max(before, offset + SURELY), "a part is written");
    pass(BEGINNING, length);
    expect(client.reply(SLOT)).toMatchObject({ errno: 0, results: [data.length] });
    const written = readFileSync(server.path("f")).subarray(offset, offset + data.length);
    expect(written.equals(data)).toBe(true);
  }
  expect(size()).toBe(3_000_001 + data.length);
});

test("what was begun before a cut is repeated whole", async () => {
  const handle = open();
  const length = compose(handle, 0);
  pass(0, BEGINNING);
  await until(() => size() >= SURELY, "a part is written");
  await cut();
  expect(size()).toBeLessThan(data.length);
  client = server.resumed(client);
  pass(0, BEGINNING);
  pass(BEGINNING, length);
  expect(client.reply(SLOT)).toMatchObject({ errno: 0, results: [data.length] });
  expect(readFileSync(server.path("f")).equals(data)).toBe(true);
  // Sent again after its answer, it is not written again.
  writeFileSync(server.path("f"), "other");
  pass(0, BEGINNING);
  pass(BEGINNING, length);
  expect(client.reply(SLOT)).toMatchObject({ errno: 0, results: [data.length] });
  expect(readFileSync(server.path("f"), "latin1")).toBe("other");
});

test("appends and writes that take set-id bits away wait for all of their data", async () => {
  const modes = [
    [OpenFlag.APPEND | RDWR, 0],
    [RDWR, WriteFlag.KILL_SUIDGID],
  ] as const;
  for (const [flags, writeFlags] of modes) {
    writeFileSync(server.path("f"), "");
    chmodSync(server.path("f"), 0o4755);
    const handle = open(flags);
    const length = compose(handle, 0, writeFlags);
    pass(0, BEGINNING);
    await cut();
    expect(size()).toBe(0);
    client = server.resumed(client);
    pass(0, length);
    expect(client.reply(SLOT)).toMatchObject({ errno: 0, results: [data.length] });
    expect(readFileSync(server.path("f")).equals(data)).toBe(true);
  }
  expect(statSync(server.path("f")).mode & 0o7777).toBe(0o755);
});

test("a file that is not open for writing is refused, whenever its data comes", async () => {
  const handle = open(OpenFlag.READ);
  const length = compose(handle, 0);
  pass(0, BEGINNING);
  pass(BEGINNING, length);
  expect(client.reply(SLOT).errno).toBe(E.EBADF);
  expect(size()).toBe(0);
  expect(client.errno("GETATTR", client.root, 0)).toBe(0);
});
