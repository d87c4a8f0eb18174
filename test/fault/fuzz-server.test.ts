/**
 * Strangers' bytes against a server: it lives on, serves others correctly all
 * the while, and is left with no more memory and descriptors than before.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { POLLIN, POLLOUT, PollSet } from "../../src/sys/poll.ts";
import { connectUnix, recv, SHUT_WR, send, shutdown } from "../../src/sys/socket.ts";
import { OpenFlag } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { encodeHello } from "../../src/wire/hello.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import { helloOf, type RawClient } from "../support/client.ts";
import { bind, listMounts, mount } from "../support/hostmounts.ts";
import { type Random, random, seedFor } from "../support/random.ts";
import { TestServer, until } from "../support/server.ts";
import { frameBytes, type Known, mutated, randomFrame } from "./fuzz-server-frames.ts";

const SEED = seedFor("fuzz-server");
/** Requests of strangers that the server must have answered or refused. */
const ANSWERS = 120_000;
const RAW_CONNECTIONS = 1500;
/**
 * How many frames have their bytes changed, which ends most connections at once;
 * the arguments of all others are drawn at random.
 */
const MUTATED = 0.04;
/** A tree that can be filled up without harm. */
const TREE_MB = 64;
/**
 * What the threads' garbage and a few more of them may take: a fifth of what
 * keeping one buffer of each connection would.
 */
const MEMORY_KB = 128 * 1024;
/** Strangers leave sessions behind, which are to be gone before the server is looked at. */
const LEASE_MS = 300;
/** How many of them come back. */
const RETURNS = 0.2;
/** A slot that no frame of theirs can have used. */
const OWN_SLOT = 500;
const RDWR = OpenFlag.READ | OpenFlag.WRITE;

let server: TestServer;
let good: RawClient[] = [];

/** Ends with the test; not among the server's clients, which `hangUp` closes. */
function wellBehaved(splits: boolean): RawClient {
  return server.client(server.share, splits);
}

/** Where something is mounted, which strangers have no name for. */
const MOUNTS = "mounts";

beforeAll(async () => {
  const prepare = ({ share }: TestServer) => {
    const args = ["-t", "tmpfs", "-o", `size=${TREE_MB}m,nr_inodes=100k`, "qtfs-fuzz", share];
    expect(Bun.spawnSync(["mount", ...args]).exitCode).toBe(0);
    const [one, two] = ["one", "two"].map((name) => `${share}/${MOUNTS}/${name}`) as [
      string,
      string,
    ];
    for (const path of [one, two]) mkdirSync(path, { recursive: true });
    expect(mount("tmpfs", one, 0, "qtfs-fuzz", "size=8m")).toBe(0);
    expect(bind(one, two)).toBe(0);
  };
  server = await TestServer.start({ prepare, leaseMs: LEASE_MS });
  writeFileSync(`${server.outside}/secret`, "secret");
});
afterAll(async () => {
  server.hangUp();
  const { share } = server;
  Bun.spawnSync(["umount", "-l", share]);
  expect(await server.stop()).toBe(0);
});

function freeBlocks(): number {
  return statfsSync(server.share).bavail;
}

/** Makes the tree anew: strangers may have left anything under any name. */
function furnish(): void {
  for (const name of readdirSync(server.share, { encoding: "buffer" })) {
    if (name.toString() === MOUNTS) continue;
    rmSync(Buffer.concat([Buffer.from(`${server.share}/`), name]), { recursive: true });
  }
  mkdirSync(server.path("dir"));
  for (const name of ["f0", "f1", "f2"]) {
    // Files without a name, of strangers whose lease lasts, may fill the tree: it is empty then.
    closeSync(openSync(server.path(name), "w"));
    if (freeBlocks() > 0) writeFileSync(server.path(name), name);
  }
  symlinkSync("../outside", server.path("link"));
  Bun.spawnSync(["mkfifo", server.path("fifo")]);
}

/** A round of a client that expects everything to be as it should. */
function workProperly(client: RawClient, round: number): void {
  const name = `proper-${round}-${client.transport.fd}`;
  const results = client.ok("CREATE", 1, name, RDWR, 0o600, 0o022, 0, 0, -1);
  const { node } = entryOf(results);
  const handle = results[17] as number;
  const data = Buffer.from(`round ${round}`);
  const wrote = client.call("WRITE", [handle, 0, 0, 0], data);
  // Strangers may have filled the tree.
  if (wrote.errno !== 28) {
    expect(wrote.results).toEqual([data.length]);
    expect(client.call("READ", [handle, 0, 100]).payload.equals(data)).toBe(true);
    expect(entryOf(client.ok("LOOKUP", 1, name))).toMatchObject({ node, size: data.length });
    client.oneway(Oneway.FORGET, 1, node, 1);
  }
  client.ok("UNLINK", 1, name);
  client.oneway(Oneway.RELEASE, handle);
  client.oneway(Oneway.FORGET, 1, node, 1);
  client.events.length = 0;
}

const polls = new PollSet(1);
const room = allocate(1 << 20);

/** Sends `bytes` to `fd` and takes in what comes, until all is sent or the server hangs up. */
function pushAll(fd: number, bytes: Buffer): void {
  room.bytes.set(bytes);
  for (let at = 0; at < bytes.length; ) {
    const sent = send(fd, room.address + at, Math.min(bytes.length - at, 1 << 19), 0);
    if (sent > 0) at += sent;
    else if (sent !== -11) return;
    else if (!wait(fd, POLLIN | POLLOUT)) return;
  }
}

const answers = allocate(1 << 20);

/** Waits for `events` and takes in what came; whether the connection is still there. */
function wait(fd: number, events: number): boolean {
  polls.clear();
  polls.add(fd, events);
  if (polls.wait(20_000) === 0) throw new Error("The server neither answers nor hangs up");
  const got = recv(fd, answers.address, answers.size);
  return got > 0 || got === -11;
}

/** Says `bytes` to a new connection and waits until the server has closed it. */
function say(bytes: Buffer): void {
  const fd = connectUnix(server.address);
  expect(fd).toBeGreaterThan(0);
  pushAll(fd, bytes);
  shutdown(fd, SHUT_WR);
  while (wait(fd, POLLIN)) {}
  close(fd);
}

/** One connection of a stranger that gets as far as it can; how many answers it had. */
function probe(rng: Random): number {
  const client = server.client(server.share, rng.chance(0.5));
  const { root } = client;
  const known: Known = { nodes: [root], handles: [0, 1, 2, 3], mounts: [] };
  for (const { mount } of listMounts(client).mounts) {
    known.mounts.push(mount);
    const found = client.call("MOUNT_ROOT", [mount]);
    if (found.errno === 0) known.nodes.push(found.results[0] as number);
  }
  for (const name of ["dir", "f0", "f1", "link", "fifo"]) {
    const found = client.call("LOOKUP", [root, name]);
    if (found.errno === 0) known.nodes.push(found.results[0] as number);
  }
  for (const node of known.nodes.slice(1)) client.call("OPEN", [node, RDWR, 0]);
  const before = client.answers;
  const frames: Buffer[] = [];
  for (let i = 0; i < 60; i++) {
    const slot = 1 + (i % 40);
    const sequence = (client.sequences[slot] as number) + 1;
    client.sequences[slot] = sequence;
    const frame = randomFrame(rng, known, slot, sequence);
    frames.push(rng.chance(MUTATED) ? mutated(rng, frame) : frame);
  }
  const { fd } = client.transport;
  pushThrough(client, Buffer.concat(frames));
  shutdown(fd, SHUT_WR);
  client.pump(() => client.closed);
  const had = client.answers - before + (client.goodbye === undefined ? 0 : 1);
  if (rng.chance(RETURNS)) comeBack(client);
  server.hangUp(client);
  return had;
}

/** Whatever was said to it, a session can be continued. */
function comeBack(client: RawClient): void {
  const next = server.resumed(client);
  next.send(OWN_SLOT, "PING", []);
  expect(next.reply(OWN_SLOT).errno).toBe(0);
  server.hangUp(next);
}

/** The same as pushAll for a client whose answers count. */
function pushThrough(client: RawClient, bytes: Buffer): void {
  room.bytes.set(bytes);
  for (let at = 0; at < bytes.length && !client.closed; ) {
    const sent = send(client.transport.fd, room.address + at, bytes.length - at, 0);
    if (sent > 0) at += sent;
    else if (sent !== -11) return;
    client.turn(0);
  }
}

function rawBytes(rng: Random): Buffer {
  const hello = Buffer.from(encodeHello(helloOf()));
  const greeting = Buffer.concat([frameBytes(Kind.HELLO, []).subarray(0, 8), hello]);
  greeting.writeUIntLE(hello.length, 4, 3);
  const garbage = Buffer.from(rng.bytes(rng.below(rng.chance(0.05) ? 100_000 : 400)));
  const what = rng.below(4);
  if (what === 0) return garbage;
  if (what === 1) return mutated(rng, greeting);
  if (what === 2) return Buffer.concat([greeting, garbage]);
  const attach = frameBytes(Kind.REQUEST, [0, 1, 1, rng.pick(["/", "/etc", server.share])]);
  return Buffer.concat([greeting, mutated(rng, attach), garbage]);
}

async function rawArm(rng: Random, connections: number): Promise<void> {
  for (let i = 0; i < connections; i++) {
    say(rawBytes(rng));
    if (i % 50 !== 0) continue;
    for (const client of good) workProperly(client, i);
    await Bun.sleep(0);
  }
}

/** Connections of strangers until there were `wanted` answers. */
async function frameArm(rng: Random, wanted: number) {
  let had = 0;
  let connections = 0;
  for (; had < wanted; connections++) {
    if (connections % 20 === 0) {
      furnish();
      for (const client of good) workProperly(client, connections);
      // The server's log is read between the rounds.
      await Bun.sleep(0);
    }
    had += probe(rng);
    expect(connections).toBeLessThan(wanted);
  }
  return { connections, had };
}

async function atRest(): Promise<{ descriptors: number; memoryKb: number }> {
  let last = -1;
  await until(async () => {
    const before = last;
    last = server.descriptors();
    await Bun.sleep(600);
    return last === before;
  }, "the server comes to rest");
  return { descriptors: server.descriptors(), memoryKb: server.memoryKb("RssAnon") };
}

test(`random bytes and mutated frames do no harm (QTFS_SEED=${SEED})`, async () => {
  const rng = random(SEED);
  good = [wellBehaved(false), wellBehaved(true)];
  await rawArm(rng, RAW_CONNECTIONS / 3);
  await frameArm(rng, ANSWERS / 3);
  const before = await atRest();
  const startedMs = performance.now();
  await rawArm(rng, RAW_CONNECTIONS);
  const { connections, had } = await frameArm(rng, ANSWERS);
  const seconds = (performance.now() - startedMs) / 1000;
  const after = await atRest();
  console.log(
    `${had} answers to ${connections} strangers and ${RAW_CONNECTIONS} raw connections in ` +
      `${seconds.toFixed(1)} s; descriptors ${before.descriptors} → ${after.descriptors}, ` +
      `memory ${before.memoryKb} → ${after.memoryKb} kB`,
  );
  expect(server.alive).toBe(true);
  expect(server.log).not.toContain("after a fault");
  for (const client of good) workProperly(client, -1);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.memoryKb).toBeLessThan(before.memoryKb + MEMORY_KB);
}, 120_000);
