/**
 * Nothing outside an export is reached, made, changed or removed, whatever the
 * names a client sends and however the HOST's tree moves under it meanwhile.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { FileType, Goodbye, OpenFlag, Rename } from "../../src/wire/constants.ts";
import { Oneway, type OpName } from "../../src/wire/ops.ts";
import { attributesOf, entryOf } from "../support/attributes.ts";
import type { Argument, RawClient } from "../support/client.ts";
import { COMPILED, TestServer } from "../support/server.ts";

const SECRET = "the secret that no client may read";
const CALLER = [0o022, 0, 0, -1] as const;
const RDWR = OpenFlag.READ | OpenFlag.WRITE;
/** Rounds of a client while the tree moves. */
const ROUNDS = 1500;

let server: TestServer;
let secretIno = 0;
let outsideIno = 0;

/** What must be as it was when all is over. */
function outsideNow() {
  const { mode, uid, size, mtimeMs, nlink, ino } = statSync(`${server.outside}/secret`);
  const names = readdirSync(server.outside).filter((name) => name !== "er");
  const content = readFileSync(`${server.outside}/secret`, "utf8");
  const directory = statSync(server.outside);
  return { mode, uid, size, mtimeMs, nlink, ino, names, content, directoryMode: directory.mode };
}

let before: ReturnType<typeof outsideNow>;

beforeAll(async () => {
  server = await TestServer.start({ compiled: existsSync(COMPILED) });
  writeFileSync(`${server.outside}/secret`, SECRET);
  mkdirSync(`${server.outside}/room`);
  secretIno = statSync(`${server.outside}/secret`).ino;
  outsideIno = statSync(server.outside).ino;
  before = outsideNow();
});
afterEach(() => {
  server.hangUp();
  expect(outsideNow()).toEqual(before);
});
afterAll(async () => {
  expect(server.log).not.toContain("after a fault");
  expect(await server.stop()).toBe(0);
});

/** Nothing of what a client is told may be of an inode outside. */
function expectInside(ino: number): void {
  expect([secretIno, outsideIno]).not.toContain(ino);
}

const TRICKS = [
  ...["..", ".", "", "../outside", "../outside/secret", "/", "/etc/passwd", "a/../../outside"],
  ...["sub/..", "./swap", "..\0", "\0", "secret\0.txt", "/proc/self/root", "x/", "\0../outside"],
];

/** Operations that take a name, with the trick in its place. */
const NAMING: [OpName, (name: string, node: number) => Argument[]][] = [
  ["LOOKUP", (name) => [1, name]],
  ["MKDIR", (name) => [1, name, 0o755, ...CALLER]],
  ["MKNOD", (name) => [1, name, 0o100644, 0, ...CALLER]],
  ["SYMLINK", (name) => [1, name, "target", 0, 0, -1]],
  ["CREATE", (name) => [1, name, RDWR, 0o644, ...CALLER]],
  ["UNLINK", (name) => [1, name]],
  ["RMDIR", (name) => [1, name]],
  ["RENAME", (name) => [1, name, 1, "other", 0]],
  ["RENAME", (name) => [1, "tricks", 1, name, 0]],
  ["LINK", (name, node) => [node, 1, name]],
];

test.each(NAMING)("%s takes no name that is a path", (op, args) => {
  writeFileSync(server.path("tricks"), "");
  for (const trick of TRICKS) {
    const client = server.client();
    const { node } = entryOf(client.ok("LOOKUP", 1, "tricks"));
    client.send(0, op, args(trick, node));
    expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
    server.hangUp(client);
  }
  rmSync(server.path("tricks"));
});

test("what a symbolic link names is not followed by any operation on it", () => {
  const client = server.client();
  for (const [name, target] of [
    ["to-file", "../outside/secret"],
    ["to-directory", server.outside],
    ["to-root", "/proc/self/root"],
    ["to-cwd", "/proc/self/cwd"],
  ] as const) {
    symlinkSync(target, server.path(name));
    const { node, mode } = entryOf(client.ok("LOOKUP", 1, name));
    expect(mode & FileType.MASK).toBe(FileType.SYMLINK);
    for (const [op, args] of [
      ["LOOKUP", [node, "secret"]],
      ["OPEN", [node, RDWR, 1]],
      ["OPEN", [node, OpenFlag.WRITE | OpenFlag.TRUNCATE, 0]],
      ["READDIR", [1, node, 0, 4096, 152]],
      ["CREATE", [node, "made", RDWR, 0o644, ...CALLER]],
      ["MKDIR", [node, "made", 0o755, ...CALLER]],
      ["TMPFILE", [node, RDWR, 0o644, ...CALLER]],
      ["UNLINK", [node, "secret"]],
      ["RMDIR", [node, "room"]],
      ["RENAME", [node, "secret", 1, "stolen", 0]],
      ["SETATTR", [node, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]],
      ["SYNCFS", [node]],
      ["FSYNCDIR", [node, 0]],
      ["GETLK", [node, 1, 0, 0, 1]],
    ] as [OpName, Argument[]][]) {
      expect([op, client.errno(op, ...args)]).not.toEqual([op, 0]);
    }
    client.ok("SETATTR", node, 0, 6, 0, 4242, 4242, 0, 0, 0, 0, 0);
  }
});

/** Reads what a node gives: it must be harmless. */
function readAll(client: RawClient, node: number): void {
  const opened = client.call("OPEN", [node, RDWR, 1]);
  if (opened.errno !== 0) return;
  const handle = opened.results[0] as number;
  const read = client.call("READ", [handle, 0, 4096]);
  expect(`${opened.payload}${read.payload}`).not.toContain("secret that");
  expectInside(attributesOf(client.ok("GETATTR", node, handle)).ino);
  client.oneway(Oneway.RELEASE, handle);
}

/** What was seen at a name, so that the test can tell that there was a race at all. */
const seen = new Map<string, number>();

function count(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

/** Does to `name` whatever a client may do; all of it must stay inside. */
function meddle(client: RawClient, parent: number, name: string, round: number): number {
  const found = client.call("LOOKUP", [parent, name]);
  if (found.errno !== 0) {
    count(`${name}: errno`);
    return 0;
  }
  const { node, ino, mode } = entryOf(found.results);
  const type = mode & FileType.MASK;
  count(`${name}: ${type.toString(8)}`);
  expectInside(ino);
  const below = client.call("LOOKUP", [node, "secret"]);
  if (below.errno === 0) {
    const secret = entryOf(below.results);
    expectInside(secret.ino);
    readAll(client, secret.node);
    client.call("SETATTR", [secret.node, 0, 1, 0o600 + (round % 8), 0, 0, 0, 0, 0, 0, 0]);
    client.oneway(Oneway.FORGET, 1, secret.node, 1);
  }
  readAll(client, node);
  client.call("SETATTR", [node, 0, 1, 0o700 + (round % 8), 0, 0, 0, 0, 0, 0, 0]);
  const made = `made-${round}`;
  const created = client.call("CREATE", [node, made, RDWR, 0o644, ...CALLER]);
  if (created.errno === 0) {
    client.oneway(Oneway.RELEASE, created.results[17] as number);
    client.call("UNLINK", [node, made]);
    client.oneway(Oneway.FORGET, 1, created.results[0] as number, 1);
  }
  client.call("RMDIR", [node, "room"]);
  client.call("RENAME", [1, `none-${round}`, node, "in", Rename.NOREPLACE]);
  const listed = client.call("READDIR", [round & 0xffff, node, 0, 4096, 0]);
  if (listed.errno === 0) expect(String(listed.payload)).not.toContain("room");
  client.oneway(Oneway.RELEASEDIR, round & 0xffff);
  return node;
}

test("a tree that moves all the time leads nobody out of it", async () => {
  const script = `${import.meta.dir}/paths-swapper.ts`;
  const swapper = Bun.spawn([process.execPath, script, server.share, server.outside], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = swapper.stdout.getReader();
  await output.read();
  const client = server.client();
  const kept: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const name of ["swap", "swap-link", "file", "file-d", "replaced"]) {
      const node = meddle(client, 1, name, round);
      if (node !== 0 && round % 100 === 0) kept.push(node);
      else if (node !== 0) client.oneway(Oneway.FORGET, 1, node, 1);
    }
    descend(client);
    for (const node of kept) client.call("LOOKUP", [node, "secret"]);
    client.events.length = 0;
  }
  swapper.stdin.end();
  expect(await swapper.exited).toBe(0);
  const rounds = Number(Buffer.from((await output.read()).value ?? []).toString());
  expect(rounds).toBeGreaterThan(100);
  expect(seen.get("swap: 40000")).toBeGreaterThan(0);
  expect(seen.get("swap: 120000")).toBeGreaterThan(0);
  expect(seen.get("file: 100000")).toBeGreaterThan(0);
  expect(seen.get("file: 120000")).toBeGreaterThan(0);
  console.log(`${rounds} rounds of the swapper`, Object.fromEntries([...seen].sort()));
}, 60_000);

/** Goes down a path whose middle moves about, and out of the export and back. */
function descend(client: RawClient): void {
  let node = 1;
  for (const name of ["deep", "er", "est", "secret"]) {
    const found = client.call("LOOKUP", [node, name]);
    if (found.errno !== 0) {
      count(`${name}: gone`);
      return;
    }
    const entry = entryOf(found.results);
    expectInside(entry.ino);
    node = entry.node;
  }
  count("secret: reached");
  readAll(client, node);
}

test("a client that attaches while the tree moves gets what is inside, or nothing", async () => {
  const script = `${import.meta.dir}/paths-swapper.ts`;
  rmSync(server.share, { recursive: true });
  mkdirSync(server.share);
  const swapper = Bun.spawn([process.execPath, script, server.share, server.outside], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  await swapper.stdout.getReader().read();
  const results = new Map<number, number>();
  const holder = server.client();
  for (let round = 0; round < 1000; round++) {
    const client = server.stranger();
    client.greet();
    const path = ["swap", "replaced", "deep/er/est", "swap-link", "elsewhere/er"][round % 5] ?? "";
    const reply = client.call("ATTACH", [server.path(path), 0, 0]);
    results.set(reply.errno, (results.get(reply.errno) ?? 0) + 1);
    if (reply.errno === 0) {
      const { node, ino } = entryOf(reply.results, 1);
      expectInside(ino);
      const below = client.call("LOOKUP", [node, "secret"]);
      if (below.errno === 0) expectInside(entryOf(below.results).ino);
    }
    server.hangUp(client);
  }
  swapper.stdin.end();
  expect(await swapper.exited).toBe(0);
  expect(holder.errno("PING")).toBe(0);
  expect(results.get(0)).toBeGreaterThan(0);
  expect(results.get(13)).toBeGreaterThan(0);
}, 60_000);
