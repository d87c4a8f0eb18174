/** The deaths of a mount's processes: callers go on as if nothing had been, until all are dead. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import type { MountReport } from "../../../src/info/report.ts";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { buildCaller, Caller, eventually, isGone, stop } from "./caller.ts";
import { type Activity, buildSteady, ENTRIES, MAPPED, Steady } from "./steady.ts";
import { keeperOf, mountsAt, report, World, type WorldMount, type WorldServer } from "./world.ts";

/** What the kernel answers for calls under way when nobody is left (fuse_abort_conn), and later. */
const ECONNABORTED = 103;
const ENOTCONN = 107;
const ANSWER_MS = 15_000;
/** Deaths in ten seconds that a mount survives. */
const DEATHS_MAX = 10;
/** Between one death and the next. */
const BREATH_MS = 400;

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
  writeFileSync(`${tree}/file`, "");
  writeFileSync(`${tree}/kept`, Buffer.alloc(1 << 20, "data"));
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
  const one = new Steady(steadyProgram, activity, path);
  steadies.push(one);
  return await one.ready();
}

/** Processes that do all that goes on on a mount. */
async function busy(target: string): Promise<Steady[]> {
  for (const how of ["fcntl", "flock"]) writeFileSync(`${tree}/${how}`, "");
  return await Promise.all([
    steady("data", `${target}/data`),
    steady("names", `${target}/names`),
    steady("readdir", `${target}/entries`),
    steady("fault", `${target}/mapped`),
    ...(["fcntl", "fcntl", "flock", "flock"] as const).map((how) =>
      steady(how, `${target}/${how}`),
    ),
  ]);
}

/** Ends them: each has done all of what it did once, and none got an error. */
async function expectWellDone(all: Steady[]): Promise<void> {
  const counted = new Map<Activity, number>();
  for (const one of all) {
    const rounds = await one.end();
    counted.set(one.activity, (counted.get(one.activity) ?? 0) + rounds);
  }
  for (const how of ["fcntl", "flock"] as const) {
    const number = readFileSync(`${tree}/${how}`).readBigInt64LE();
    expect(Number(number)).toBe(counted.get(how) as number);
  }
}

async function finish(mount: WorldMount): Promise<void> {
  const keeper = await keeperOf(mount);
  expect(await world.umount(mount.target)).toBe(0);
  await world.vanished(mount);
  await eventually(() => isGone(keeper), "the keeper has ended", ANSWER_MS);
}

describe("kill -9 of a mount's process", () => {
  test("again and again: nobody notices", async () => {
    let mount = await world.mount(server, tree);
    const all = await busy(mount.target);
    for (let death = 0; death < 5; death++) {
      mount = await world.killed(mount);
      await Bun.sleep(BREATH_MS);
    }
    const { recovery, keeper } = await report<MountReport>(mount.pid);
    expect(recovery.takeovers).toBeGreaterThan(1);
    expect(isGone(keeper as number)).toBe(false);
    await expectWellDone(all);
    await finish(mount);
  });

  test("while the HOST changes the very directories that are changed here", async () => {
    let mount = await world.mount(server, tree);
    const names = `${mount.target}/names`;
    const all = await Promise.all([1, 2, 3].map(() => steady("names", names)));
    // The kernel is told of each, for which it takes the lock of the directory.
    const onHost =
      "while (1) { for (1..9) { open F, qq(>h$_); close F } unlink map { qq(h$_) } 1..9 }";
    const here = "while (1) { lstat qq(h$_) for 1..9 }";
    const children = [
      Bun.spawn(["perl", "-e", onHost], { cwd: `${tree}/names` }),
      Bun.spawn(["perl", "-e", here], { cwd: names }),
    ];
    try {
      for (let death = 0; death < 8; death++) {
        await Bun.sleep(BREATH_MS);
        mount = await world.killed(mount);
      }
      for (const one of all) await one.end();
    } finally {
      for (const child of children) child.kill("SIGKILL");
      for (const child of children) await child.exited;
    }
    await finish(mount);
  }, 60_000);

  test("while calls wait for a server that is stopped: they go on with it", async () => {
    const first = await world.mount(server, tree, ["cache=never", "hard"]);
    const path = (operation: string) =>
      `${first.target}/${operation === "mkdir" ? "made" : "file"}`;
    const operations = ["read", "write", "stat", "mkdir", "open", "fsync", "close"];
    const all = await Promise.all(operations.map((one) => caller(one, path(one))));
    await stop(server.pid);
    let mount = first;
    try {
      await Promise.all(all.map((one) => one.block()));
      mount = await world.killed(mount);
      mount = await world.killed(mount);
      expect(all.filter((one) => one.finished)).toEqual([]);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    for (const one of all) expect(await one.errno(ANSWER_MS)).toBe(0);
    await Promise.all(all.map((one) => one.end()));
    await finish(mount);
  });

  test.each([
    ["setlk", "setlkw"],
    ["flock", "flock"],
  ])("%s held over it excludes others, who get it once it is let go", async (holds, waits) => {
    let mount = await world.mount(server, tree);
    const file = `${mount.target}/file`;
    const holder = await caller(holds, file);
    holder.go();
    expect(await holder.errno(ANSWER_MS)).toBe(0);
    const early = await caller(waits, file);
    await early.block();
    mount = await world.killed(mount);
    const late = await caller(waits, file);
    await late.block();
    expect(early.finished).toBe(false);
    // On the HOST as well.
    const other = await caller(waits, `${tree}/file`);
    await other.block();
    holder.letGo();
    const waiting = new Set([early, late, other]);
    while (waiting.size > 0) {
      const got = () => [...waiting].find((one) => one.finished);
      await eventually(() => got() !== undefined, "the next one has the lock", ANSWER_MS);
      const next = got() as Caller;
      expect(await next.errno(ANSWER_MS)).toBe(0);
      next.letGo();
      waiting.delete(next);
    }
    await finish(mount);
  });

  test("a signal still ends a wait for a lock", async () => {
    const EINTR = 4;
    const mount = await world.mount(server, tree);
    const holder = await caller("setlk", `${mount.target}/file`);
    holder.go();
    expect(await holder.errno(ANSWER_MS)).toBe(0);
    const [waits, dies] = await Promise.all([
      caller("setlkw", `${mount.target}/file`),
      caller("setlkw", `${mount.target}/file`),
    ]);
    await Promise.all([waits.block(), dies.block()]);
    const next = await world.killed(mount);
    waits.kill("SIGALRM");
    dies.kill("SIGKILL");
    expect(await waits.errno(ANSWER_MS)).toBe(EINTR);
    await eventually(() => dies.gone, "who was killed is gone", ANSWER_MS);
    await Promise.all([holder.end(), waits.end()]);
    await eventually(() => holder.gone && waits.gone, "nobody has the file open", ANSWER_MS);
    await finish(next);
  });

  test("ten times in ten seconds: the mount is given up, and says so", async () => {
    let mount = await world.mount(server, tree);
    const waiting = await caller("flock", `${mount.target}/file`);
    const holder = await caller("flock", `${mount.target}/file`);
    holder.go();
    expect(await holder.errno(ANSWER_MS)).toBe(0);
    await waiting.block();
    for (let death = 0; death < DEATHS_MAX; death++) mount = await world.killed(mount);
    const keeper = await keeperOf(mount);
    process.kill(mount.pid, "SIGKILL");
    expect([ECONNABORTED, ENOTCONN]).toContain(await waiting.errno(ANSWER_MS));
    await eventually(() => isGone(keeper), "nobody tries any more", ANSWER_MS);
    await Promise.all([waiting.end(), holder.end()]);
    expect(await world.umount(mount.target)).toBe(0);
  }, 60_000);

  test("followed by the same command: there is one mount, and what was open stays so", async () => {
    let mount = await world.mount(server, tree);
    const fd = openSync(`${mount.target}/kept`, "r");
    for (let death = 0; death < 3; death++) {
      process.kill(mount.pid, "SIGKILL");
      mount = await world.mount(server, tree, [], mount.target);
      expect(mountsAt(mount.target).length).toBe(1);
      const part = Buffer.alloc(4);
      readSync(fd, part, 0, 4, 100_000 * death);
      expect(part.toString()).toBe("data");
      expect(await world.umount(mount.target)).toBe(32);
    }
    closeSync(fd);
    await finish(mount);
  });
});

describe("the keeper", () => {
  test("is replaced when it is killed", async () => {
    let mount = await world.mount(server, tree);
    const first = await keeperOf(mount);
    process.kill(first, "SIGKILL");
    let second = first;
    while (second === first) second = await keeperOf(mount);
    expect(isGone(second)).toBe(false);
    mount = await world.killed(mount);
    expect(mount.pid).toBe(second);
    await finish(mount);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("ends with the mount at %s", async (signal) => {
    const mount = await world.mount(server, tree);
    const keeper = await keeperOf(mount);
    process.kill(mount.pid, signal);
    await world.vanished(mount);
    await eventually(() => isGone(keeper), "the keeper has ended", ANSWER_MS);
  });

  test("and the mount's process killed together: errnos at once, and mounting again works", async () => {
    const mount = await world.mount(server, tree, ["cache=never", "hard"]);
    const names = ["read", "write", "stat"];
    const all = await Promise.all(names.map((one) => caller(one, `${mount.target}/file`)));
    await stop(server.pid);
    try {
      await Promise.all(all.map((one) => one.block()));
      const keeper = await keeperOf(mount);
      await stop(mount.pid);
      process.kill(keeper, "SIGKILL");
      await eventually(() => isGone(keeper), "the keeper is gone", ANSWER_MS);
      process.kill(mount.pid, "SIGKILL");
      for (const one of all) {
        expect([ECONNABORTED, ENOTCONN]).toContain(await one.errno(ANSWER_MS));
      }
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    expect(() => readFileSync(`${mount.target}/file`)).toThrow("ENOTCONN");
    await Promise.all(all.map((one) => one.end()));
    const again = await world.mount(server, tree, [], mount.target);
    expect(mountsAt(mount.target).length).toBe(1);
    expect(readFileSync(`${again.target}/kept`).length).toBe(1 << 20);
    await finish(again);
  });
});

describe("a mount is handed over", () => {
  test.each([
    ["by the same command", []],
    ["by --takeover", ["--takeover"]],
  ])("%s: its process is another, and nobody notices", async (_, words) => {
    const mount = await world.mount(server, tree);
    const all = await busy(mount.target);
    let { pid } = mount;
    for (let round = 0; round < 3; round++) {
      const options = ["-o", `server=${server.address}`];
      const { code, stderr } = await run([QTFS, "mount", ...words, ...options, tree, mount.target]);
      expect([code, stderr]).toEqual([0, ""]);
      const next = await world.mountPid(mount.target);
      expect(next).not.toBe(pid);
      await eventually(() => isGone(pid), "the process before has ended", ANSWER_MS);
      pid = next;
    }
    await expectWellDone(all);
    await finish({ pid, target: mount.target });
  });

  test("only where there is one, and to the same directory of the same server", async () => {
    const mount = await world.mount(server, tree);
    const where = ["-o", `server=${server.address}`];
    const nowhere = world.make("nowhere");
    const none = await run([QTFS, "mount", "--takeover", ...where, tree, nowhere]);
    expect([none.code, none.stderr]).toEqual([
      1,
      `qtfs mount: Cannot take over ${nowhere}: no qtfs mount is there\n`,
    ]);
    const other = await run([QTFS, "mount", ...where, `${tree}/entries`, mount.target]);
    expect(other.code).toBe(1);
    expect(other.stderr).toContain("it is busy");
    expect(await world.mountPid(mount.target)).toBe(mount.pid);
    await finish(mount);
  });
});
