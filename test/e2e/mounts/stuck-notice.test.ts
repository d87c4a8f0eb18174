/**
 * A mount's process that cannot die: one of its threads tells the kernel of a name,
 * and waits for a directory that a call has locked whose answer will never come.
 */
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { close } from "../../../src/sys/open.ts";
import { accept, listenUnix } from "../../../src/sys/socket.ts";
import { SocketTransport } from "../../../src/transport/socket.ts";
import { FileType, ROOT_NODE } from "../../../src/wire/constants.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { decodeClientHello, encodeHello } from "../../../src/wire/hello.ts";
import { VERSION_MAX } from "../../../src/wire/limits.ts";
import { Event, Op } from "../../../src/wire/ops.ts";
import { helloOf, put } from "../../support/client.ts";
import { ok } from "../../sys/support.ts";
import { run } from "../support/run.ts";
import { isGone } from "./caller.ts";
import { keeperOf, World } from "./world.ts";

const ENOENT = 2;
const EEXIST = 17;
const WAIT_MS = 10_000;
/** ino, size, blocks; three times with ns; mode, nlink, uid, gid, rdev, blksize, policy. */
const DIRECTORY = [1, 0, 0, 0, 0, 0, 0, 0, 0, FileType.DIRECTORY | 0o755, 2, 0, 0, 0, 4096, 0];

const world = new World();
const path = `${world.directory}/scripted.sock`;
const listener = ok(listenUnix(path, 0o600, 8));
const connections: SocketTransport[] = [];
/** Slot and sequence of each time that the mkdir came which is not answered. */
const held: (readonly [slot: number, sequence: number])[] = [];
let isHolding = true;
let attached = false;

afterAll(async () => {
  await world.close();
  close(listener);
});

function say(
  to: SocketTransport,
  kind: number,
  items: readonly (number | bigint | string)[],
): void {
  const w = to.begin(kind);
  w.array(items.length);
  for (const item of items) put(w, item);
  to.end();
  to.flush();
}

/** A server with one empty directory, that answers no mkdir while it is holding. */
function serve(): void {
  for (let fd = accept(listener); fd >= 0; fd = accept(listener)) {
    connections.push(new SocketTransport(fd, { description: "the mount" }));
  }
  for (const one of connections) {
    if (!one.closed) one.receive();
    while (one.next()) answer(one);
  }
}

function answer(to: SocketTransport): void {
  const { reader } = to;
  if (to.kind === Kind.HELLO) {
    decodeClientHello(reader.bytes.subarray(reader.at, reader.end));
    const standing = { slots: 8, leaseMs: 60_000, resumed: attached, oneways: 0, lives: 1 };
    const { facts } = helloOf();
    const bytes = encodeHello({ version: VERSION_MAX, capabilities: [], facts, ...standing });
    const w = to.begin(Kind.HELLO);
    w.bytes.set(bytes, w.at);
    w.at += bytes.length;
    to.end();
    to.flush();
    attached = true;
    return;
  }
  if (to.kind !== Kind.REQUEST) return;
  reader.array();
  const [slot, sequence, op] = [reader.uint(), reader.uint(), reader.uint()];
  const reply = (errno: number, ...results: (number | bigint)[]) =>
    say(to, Kind.REPLY, [slot, sequence, errno, ...results]);
  if (op === Op.ATTACH) reply(0, 0, 0, BigInt(ROOT_NODE), ...DIRECTORY);
  else if (op === Op.GETATTR) reply(0, ...DIRECTORY);
  else if (op === Op.PING) reply(0);
  else if (op === Op.MKDIR && isHolding) held.push([slot, sequence]);
  else if (op === Op.MKDIR) reply(EEXIST);
  else reply(ENOENT);
}

/** Serves until `condition`. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + WAIT_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`It never happened: ${what}`);
    serve();
    await Bun.sleep(2);
  }
}

/** Whether a thread of the process waits for a lock to tell the kernel of a name. */
function isTelling(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some((thread) => {
    const where = readFileSync(`/proc/${pid}/task/${thread}/wchan`, "latin1");
    return where.includes("inval_entry");
  });
}

test("its mount is taken over nevertheless, and the process dies then", async () => {
  const mounting = world.mount({ address: `unix://${path}` }, "/scripted", ["hard"]);
  let isMounted = false;
  mounting.then(() => {
    isMounted = true;
  });
  await until(() => isMounted, "it is mounted");
  const mount = await mounting;
  const keeper = await keeperOf(mount);
  const making = run(["mkdir", `${mount.target}/new`], { timeoutMs: 2 * WAIT_MS });
  await until(() => held.length === 1, "a directory is being made");
  say(connections.at(-1) as SocketTransport, Kind.EVENT, [
    Event.RENAMED,
    BigInt(ROOT_NODE),
    "other",
    0,
  ]);
  await until(() => isTelling(mount.pid), "a thread waits for the directory");
  process.kill(mount.pid, "SIGKILL");
  await until(() => held.length === 2, "another process asks again");
  isHolding = false;
  const [slot, sequence] = held[1] ?? [0, 0];
  say(connections.at(-1) as SocketTransport, Kind.REPLY, [slot, sequence, EEXIST]);
  expect((await making).stderr).toContain("File exists");
  await until(() => isGone(mount.pid), "the process that was killed is gone");
  expect(isGone(keeper)).toBe(false);
  let isEnded = false;
  const ending = world.umount(mount.target);
  ending.then(() => {
    isEnded = true;
  });
  await until(() => isEnded && isGone(keeper), "the mount has ended");
}, 60_000);
