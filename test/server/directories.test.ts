/** READDIR: every entry once, from any cookie, within the room the client has; FSYNCDIR. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { decodeMultiple } from "cbor-x/decode";
import { E } from "../../src/sys/errno.ts";
import { Goodbye } from "../../src/wire/constants.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { attributesOf, entryOf } from "../support/attributes.ts";
import { plain, type RawClient } from "../support/client.ts";
import { TestServer, until } from "../support/server.ts";

const MANY = 5000;
/** A FUSE direntplus before its name (struct fuse_direntplus of linux/fuse.h). */
const PLUS = 152;

let server: TestServer;
let client: RawClient;
/** Node of the directory with MANY entries. */
let many = 0;

interface Listed {
  cookie: number | bigint;
  type: number;
  name: string;
  /** Where the entry has no attributes: its inode number. */
  ino: number;
  /** Where it has: its node and attributes. */
  node?: number;
  rest: unknown[];
}

function list(directory: number, node: number, cookie: number | bigint, room: number, plus = 0) {
  const reply = client.call("READDIR", [directory, node, cookie, room, plus]);
  if (reply.errno !== 0) throw new Error(`READDIR: errno ${reply.errno}`);
  const [count, atEnd] = reply.results as [number, number];
  const decoded =
    reply.payload.length === 0 ? [] : (plain(decodeMultiple(reply.payload)) as unknown[]);
  const entries = (decoded as unknown[][]).map(([at, type, name, fourth, ...rest]) => {
    const listed = { cookie: at, type, name: String(name), ino: fourth, rest } as Listed;
    if (rest.length > 0) listed.node = fourth as number;
    return listed;
  });
  expect(entries.length).toBe(count);
  return { entries, atEnd };
}

/** All entries, read in pieces of `room`. */
function listAll(directory: number, node: number, room: number, plus = 0): Listed[] {
  const all: Listed[] = [];
  let cookie: number | bigint = 0;
  for (;;) {
    const { entries, atEnd } = list(directory, node, cookie, room, plus);
    all.push(...entries);
    if (atEnd === 1) return all;
    cookie = entries.at(-1)?.cookie ?? 0;
  }
}

const names = (entries: Listed[]) => entries.map((e) => e.name).sort();
const expected = (dir: string) => [".", "..", ...readdirSync(dir)].sort();

beforeAll(async () => {
  server = await TestServer.start();
  mkdirSync(server.path("many"));
  for (let i = 0; i < MANY; i++) writeFileSync(server.path("many", `file-${i}`), "");
});
beforeEach(() => {
  client = server.client();
  many = entryOf(client.ok("LOOKUP", client.root, "many")).node;
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test.each([300, 4096, 65536, 1048576])("a huge directory in pieces of %d bytes", (room) => {
  expect(names(listAll(1, many, room))).toEqual(expected(server.path("many")));
});

test.each([4096, 65536])("the same with attributes, in pieces of %d bytes", (room) => {
  const all = listAll(1, many, room, PLUS);
  expect(names(all)).toEqual(expected(server.path("many")));
  for (const { name, rest, node } of all) {
    if (name === "." || name === "..") {
      expect(rest).toEqual([]);
      continue;
    }
    expect(attributesOf(rest)).toMatchObject({ mode: 0o100644, nlink: 1 });
    expect(node).toBeGreaterThan(1);
  }
  const sample = all.find((e) => e.name === "file-77");
  expect(attributesOf(sample?.rest ?? []).ino).toBe(lstatSync(server.path("many/file-77")).ino);
  expect(entryOf(client.ok("LOOKUP", many, "file-77")).node).toBe(sample?.node as number);
});

test("entries never cost more than the room there is", () => {
  for (const [room, plus] of [
    [200, 0],
    [1000, 0],
    [4096, PLUS],
    [32768, PLUS],
  ] as const) {
    const { entries } = list(1, many, 0, room, plus);
    const cost = entries.reduce(
      (sum, e) => sum + ((((plus || 24) + e.name.length + 7) >> 3) << 3),
      0,
    );
    expect(cost).toBeLessThanOrEqual(room);
    expect(cost).toBeGreaterThan(room - ((plus || 24) + 32));
  }
});

test("room for not even one entry is an error, not the end", () => {
  expect(client.errno("READDIR", 1, many, 0, 8, 0)).toBe(E.EINVAL);
  expect(client.errno("READDIR", 1, many, 0, 0, 0)).toBe(E.EINVAL);
});

test("reading goes on from any cookie, also one of an earlier piece", () => {
  const all = listAll(1, many, 65536);
  const from = all[1234] as Listed;
  const { entries } = list(1, many, from.cookie, 4096);
  expect(entries.map((e) => e.name)).toEqual(
    all.slice(1235, 1235 + entries.length).map((e) => e.name),
  );
  expect(list(1, many, 0, 4096).entries[0]?.name).toBe(all[0]?.name as string);
});

test("two readers of one directory do not disturb each other", () => {
  const first = list(1, many, 0, 4096).entries;
  const second = list(2, many, 0, 65536).entries;
  const next = list(1, many, first.at(-1)?.cookie ?? 0, 4096).entries;
  expect(next[0]?.name).toBe(second[first.length]?.name as string);
});

test("a cookie that no position can be is refused", () => {
  expect(client.errno("READDIR", 1, many, 0xffff_ffff_ffff_ffffn, 4096, 0)).toBe(E.EINVAL);
});

test("types are told; sockets and FIFOs come without attributes", () => {
  mkdirSync(server.path("kinds/dir"), { recursive: true });
  const at = (name: string) => server.path("kinds", name);
  writeFileSync(at("file"), "");
  symlinkSync("x", at("link"));
  Bun.spawnSync(["mkfifo", at("fifo")]);
  Bun.spawnSync(["mknod", at("char"), "c", "1", "3"]);
  const kinds = entryOf(client.ok("LOOKUP", client.root, "kinds")).node;
  client.ok("MKNOD", kinds, "socket", 0o140600, 0, 0, 0, 0, -1);
  const found = Object.fromEntries(listAll(1, kinds, 65536, PLUS).map((e) => [e.name, e]));
  const types = Object.fromEntries(Object.values(found).map((e) => [e.name, e.type]));
  expect(types).toMatchObject({ dir: 4, file: 8, link: 10, fifo: 1, char: 2, socket: 12 });
  const described = Object.values(found).filter((e) => e.rest.length > 0);
  expect(names(described)).toEqual(["char", "dir", "file", "link"]);
});

test("what is added and removed meanwhile never loses an entry that stays", () => {
  mkdirSync(server.path("busy"));
  for (let i = 0; i < 500; i++) writeFileSync(server.path("busy", `stay-${i}`), "");
  const busy = entryOf(client.ok("LOOKUP", client.root, "busy")).node;
  const seen: string[] = [];
  let cookie: number | bigint = 0;
  for (let round = 0; ; round++) {
    const { entries, atEnd } = list(1, busy, cookie, 1000, 0);
    seen.push(...names(entries));
    if (atEnd === 1) break;
    cookie = entries.at(-1)?.cookie ?? 0;
    writeFileSync(server.path("busy", `new-${round}`), "");
    if (round > 3) unlinkSync(server.path("busy", `new-${round - 3}`));
  }
  const stayed = seen.filter((name) => name.startsWith("stay-"));
  expect(new Set(stayed).size).toBe(500);
  expect(stayed.length).toBe(500);
});

test("an open directory is read on after it was renamed and after it was removed", () => {
  mkdirSync(server.path("gone"));
  const gone = entryOf(client.ok("LOOKUP", client.root, "gone")).node;
  expect(names(list(7, gone, 0, 4096).entries)).toEqual([".", ".."]);
  renameSync(server.path("gone"), server.path("gone2"));
  expect(names(list(7, gone, 0, 4096).entries)).toEqual([".", ".."]);
  rmdirSync(server.path("gone2"));
  expect(list(7, gone, 0, 4096)).toEqual({ entries: [], atEnd: 1 });
});

test("RELEASEDIR closes the directory; an unknown one is nothing", async () => {
  list(9, many, 0, 4096);
  const before = server.openOn(server.path("many"));
  client.oneway(Oneway.RELEASEDIR, 9);
  client.oneway(Oneway.RELEASEDIR, 9);
  client.oneway(Oneway.RELEASEDIR, 12345);
  await until(() => server.openOn(server.path("many")) < before, "the directory is closed");
  expect(list(9, many, 0, 4096).entries.length).toBeGreaterThan(0);
});

test("what is no directory is refused", () => {
  const file = entryOf(client.ok("LOOKUP", many, "file-0")).node;
  expect(client.errno("READDIR", 3, file, 0, 4096, 0)).toBe(E.ENOTDIR);
  expect(client.errno("READDIR", 3, 99_999, 0, 4096, 0)).toBe(E.ESTALE);
});

test("asking for more than a frame ends the connection", () => {
  client.send(0, "READDIR", [1, many, 0, 1024 * 1024 + 1, 0]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("FSYNCDIR brings a directory to the disk", () => {
  client.ok("FSYNCDIR", many, 0);
  client.ok("FSYNCDIR", many, 1);
  const file = entryOf(client.ok("LOOKUP", many, "file-0")).node;
  expect(client.errno("FSYNCDIR", file, 0)).toBe(E.ENOTDIR);
  expect(client.errno("FSYNCDIR", 99_999, 0)).toBe(E.ESTALE);
});
