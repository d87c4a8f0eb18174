/** Servers that die, stay away and come back, here or at another address, under open files and locks. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import type { MountReport } from "../../../src/info/report.ts";
import { sh } from "../support/run.ts";
import { buildCaller, Caller, eventually, isGone } from "./caller.ts";
import { type Activity, buildSteady, ENTRIES, MAPPED, Steady } from "./steady.ts";
import { report, World, type WorldMount, type WorldServer } from "./world.ts";

const EIO = 5;
const ANSWER_MS = 15_000;
const TIMEOUT_S = 2;

const world = new World();
const tree = world.make("host");
const callers: Caller[] = [];
const steadies: Steady[] = [];
let callerProgram: string;
let steadyProgram: string;
let server: WorldServer;

beforeAll(async () => {
  callerProgram = await buildCaller(world.directory);
  steadyProgram = await buildSteady(world.directory);
  server = await world.server([tree]);
  writeFileSync(`${tree}/file`, Buffer.alloc(1 << 20, "data"));
  // Open in this process, and so in every child until it runs: closing it must wait for nothing.
  writeFileSync(`${tree}/open`, Buffer.alloc(1 << 20, "data"));
  writeFileSync(`${tree}/mapped`, MAPPED);
  await sh(`mkdir entries names; touch entries/{1..${ENTRIES}}`, { cwd: tree });
});

afterAll(async () => {
  await Promise.all(callers.map((one) => one.end()));
  for (const steady of steadies) steady.kill();
  await world.close();
});

async function caller(operation: string, path: string): Promise<Caller> {
  const one = new Caller(callerProgram, operation, path);
  callers.push(one);
  return await one.ready();
}

async function steady(activity: Activity, path: string): Promise<Steady> {
  const one = new Steady(steadyProgram, activity, path, true);
  steadies.push(one);
  return await one.ready();
}

const socketOf = ({ address }: WorldServer) => address.slice("unix://".length);

/** Kills the server; returns once it is gone. */
async function kill(): Promise<void> {
  process.kill(server.pid, "SIGKILL");
  await eventually(() => isGone(server.pid), "the server is gone", ANSWER_MS);
}

async function finish(mount: WorldMount, ...options: string[]): Promise<void> {
  expect(await world.umount(mount.target, ...options)).toBe(0);
  await world.vanished(mount);
}

describe("a server that is killed and started again", () => {
  test("goes on with what is open, locked and under way", async () => {
    const mount = await world.mount(server, tree, ["hard"]);
    writeFileSync(`${tree}/fcntl`, "");
    writeFileSync(`${tree}/flock`, "");
    const all = await Promise.all([
      steady("data", `${mount.target}/data`),
      steady("names", `${mount.target}/names`),
      steady("readdir", `${mount.target}/entries`),
      steady("fault", `${mount.target}/mapped`),
      steady("fcntl", `${mount.target}/fcntl`),
      steady("fcntl", `${mount.target}/fcntl`),
      steady("flock", `${mount.target}/flock`),
    ]);
    const holder = await caller("setlk", `${mount.target}/file`);
    holder.go();
    expect(await holder.errno(ANSWER_MS)).toBe(0);
    for (let death = 0; death < 3; death++) {
      await kill();
      server = await world.server([tree], socketOf(server));
      await Bun.sleep(500);
    }
    for (const one of all) await one.end();
    const waiter = await caller("setlkw", `${mount.target}/file`);
    await waiter.block();
    holder.letGo();
    expect(await waiter.errno(ANSWER_MS)).toBe(0);
    await waiter.end();
    const { recovery, connected } = await report<MountReport>(mount.pid);
    expect(recovery).toMatchObject({ losses: 3, serverRestarts: 3, sessionsLost: 0 });
    expect(connected).toBe(true);
    await finish(mount);
  }, 90_000);

  test("while the mount's process is killed too", async () => {
    let mount = await world.mount(server, tree, ["hard"]);
    const fd = openSync(`${mount.target}/open`, "r");
    await kill();
    mount = await world.killed(mount);
    server = await world.server([tree], socketOf(server));
    const part = Buffer.alloc(4);
    readSync(fd, part, 0, 4, 4096);
    expect(part.toString()).toBe("data");
    closeSync(fd);
    await finish(mount);
  });
});

describe("a server that is away for longer than the bound", () => {
  test("calls fail with EIO, those made then too, and work again when it is back", async () => {
    const options = [`timeout=${TIMEOUT_S}`, "cache=never"];
    const mount = await world.mount(server, tree, options);
    const names = ["read", "write", "stat", "mkdir", "fsync"];
    const path = (name: string) => `${mount.target}/${name === "mkdir" ? "new" : "file"}`;
    const [before, during, after] = await Promise.all(
      [0, 1, 2].map(() => Promise.all(names.map((name) => caller(name, path(name))))),
    );
    await kill();
    for (const one of before ?? []) await one.block();
    for (const one of before ?? []) expect(await one.errno(ANSWER_MS)).toBe(EIO);
    for (const one of during ?? []) one.go();
    for (const one of during ?? []) expect(await one.errno(ANSWER_MS)).toBe(EIO);
    server = await world.server([tree], socketOf(server));
    const connected = async () => (await report<MountReport>(mount.pid)).connected;
    while (!(await connected())) await Bun.sleep(50);
    for (const one of after ?? []) one.go();
    for (const one of after ?? []) expect(await one.errno(ANSWER_MS)).toBe(0);
    await Promise.all(callers.map((one) => one.end()));
    await finish(mount);
  }, 60_000);

  test("nobody waits for it: the mount can be taken away, and its process ends", async () => {
    const mount = await world.mount(server, tree);
    readFileSync(`${mount.target}/file`);
    await kill();
    try {
      await Bun.sleep(300);
      // Canonicalizing asks the server, for which umount(8) would wait.
      await finish(mount, "--no-canonicalize");
    } finally {
      server = await world.server([tree], socketOf(server));
    }
  });
});

describe("a server with two addresses", () => {
  test("is mounted from the second where nobody listens at the first", async () => {
    const nobody = `unix://${world.directory}/nobody.sock`;
    const both = { address: `${nobody},server=${server.address}` };
    const mount = await world.mount(both, tree);
    expect(readFileSync(`${mount.target}/file`).length).toBe(1 << 20);
    await finish(mount);
  });

  test("is found at the second when it is lost at the first, with what is open and locked", async () => {
    const second = `${world.directory}/second.sock`;
    const both = { address: `${server.address},server=unix://${second}` };
    const mount = await world.mount(both, tree, ["hard"]);
    const fd = openSync(`${mount.target}/open`, "r");
    const holder = await caller("setlk", `${mount.target}/file`);
    holder.go();
    expect(await holder.errno(ANSWER_MS)).toBe(0);
    await kill();
    server = await world.server([tree], second);
    const part = Buffer.alloc(4);
    readSync(fd, part, 0, 4, 4096);
    expect(part.toString()).toBe("data");
    closeSync(fd);
    const waiter = await caller("setlkw", `${tree}/file`);
    await waiter.block();
    holder.letGo();
    expect(await waiter.errno(ANSWER_MS)).toBe(0);
    await waiter.end();
    expect((await report<MountReport>(mount.pid)).recovery.sessionsLost).toBe(0);
    await finish(mount);
  });
});
