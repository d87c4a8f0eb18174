/** Threads that are stuck: what is said of them, and that callers see a pause and no error. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import type { MountReport, ServerReport } from "../../../src/info/report.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { eventually } from "./caller.ts";
import { report, World, type WorldServer } from "./world.ts";

/** A thread is stuck after 10 s; and it takes a while to be seen and mended. */
const MENDED_MS = 40_000;
const FREEZES_MAX = 200;
/** Names for people of a thread that waits for nothing in particular. */
const ASLEEP = "asleep";

const world = new World();
const tree = world.make("host");
const children: Bun.Subprocess[] = [];
let server: WorldServer;

beforeAll(async () => {
  server = await world.server([tree]);
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await world.close();
});

interface Load {
  /** Writes done so far. */
  count(): number;
  /** Ends it; what it said of errors. */
  end(): Promise<string>;
}

/** A process that makes and removes files below `target` until it is ended. */
function load(target: string): Load {
  const path = `${world.directory}/load-${children.length}`;
  const words = [`${import.meta.dir}/busy.ts`, target, path, `${path}.stop`];
  const child = Bun.spawn([process.execPath, ...words], { stderr: "pipe" });
  children.push(child);
  const count = () => {
    try {
      return Number(readFileSync(path, "utf8"));
    } catch {
      return 0;
    }
  };
  const end = async () => {
    writeFileSync(`${path}.stop`, "");
    const said = await child.stderr.text();
    return `${await child.exited}${said}`;
  };
  return { count, end };
}

/** Waits until `one` has done more. */
async function goesOn(one: Load): Promise<void> {
  const before = one.count();
  await eventually(() => one.count() > before + 1, "the load goes on", MENDED_MS);
}

/** Stops the first reactor of a daemon while it is at something; ends the freeze when called. */
async function freezeReactor(pid: number): Promise<() => void> {
  for (let i = 0; i < FREEZES_MAX; i++) {
    const { threads } = await report<MountReport | ServerReport>(pid);
    const tid = threads.find(({ name }) => name.startsWith("reactor"))?.tid;
    const script = `${import.meta.dir}/freeze.ts`;
    const child = Bun.spawn([process.execPath, script, `${tid}`], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    children.push(child);
    await child.stdout.getReader().read();
    const frozen = (await report<MountReport | ServerReport>(pid)).threads;
    if (frozen.find((one) => one.tid === tid)?.at !== ASLEEP) return () => child.kill("SIGKILL");
    child.kill("SIGKILL");
    await child.exited;
  }
  throw new Error("The thread was always asleep");
}

async function logOf(pid: number): Promise<string> {
  return (await run([QTFS, "info", `${pid}`, "--log"])).stdout;
}

test("a mount whose thread is stuck is taken over by its keeper", async () => {
  const mount = await world.mount(server, tree, ["cache=never"]);
  const { keeper } = await report<MountReport>(mount.pid);
  const work = load(mount.target);
  await goesOn(work);
  await freezeReactor(mount.pid);
  await goesOn(work);
  expect(await work.end()).toBe("0");
  const successor = await world.mountPid(mount.target);
  expect(successor).toBe(keeper as number);
  expect(await logOf(successor)).toMatch(
    /error The process before ended itself: The reactor thread is stuck: .* for \d+ s; \d+ ms of processor time since, state t \(stopped by a tracer\)/,
  );
  await world.umount(mount.target);
  await world.vanished({ ...mount, pid: successor });
}, 120_000);

test("a server whose thread is stuck starts anew in the same process", async () => {
  const mount = await world.mount(server, tree, ["cache=never"]);
  const work = load(mount.target);
  await goesOn(work);
  const release = await freezeReactor(server.pid);
  await goesOn(work);
  release();
  expect(await work.end()).toBe("0");
  expect(server.log()).toMatch(/error The reactor 0 thread is stuck: .* for \d+ s; .*state t/);
  expect(server.log()).toContain("Starting the server anew in its place");
  expect((await report<ServerReport>(server.pid)).totals.recovered).toBe(1);
  expect((await report<MountReport>(mount.pid)).recovery.serverRestarts).toBe(1);
  await world.umount(mount.target);
  await world.vanished(mount);
}, 120_000);

test("a server that waits for the HOST's file system says so, and goes on with it", async () => {
  const inner = await world.mount(server, tree, ["cache=never", "hard"]);
  const outer = await world.server([inner.target]);
  const mount = await world.mount(outer, inner.target, ["cache=never", "hard"]);
  const work = load(mount.target);
  await goesOn(work);
  process.kill(inner.pid, "SIGSTOP");
  const told = () => outer.log().includes("does not answer");
  try {
    await eventually(told, "the server says that it waits", MENDED_MS);
  } finally {
    process.kill(inner.pid, "SIGCONT");
  }
  await goesOn(work);
  expect(await work.end()).toBe("0");
  expect(outer.log()).toMatch(/stuck: at \w+ for \d+ s; .*waits in \w*fuse|request_wait_answer/);
  expect(outer.log()).not.toContain("Starting the server anew");
  await world.umount(mount.target);
  await world.vanished(mount);
}, 120_000);
