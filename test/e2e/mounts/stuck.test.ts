/** Threads that are stuck: what is said of them, and that callers see a pause and no error. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { ask, endpoints } from "../../../src/info/query.ts";
import type { MountReport, ServerReport } from "../../../src/info/report.ts";
import type { ThreadReport } from "../../../src/info/watchdog.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { eventually } from "./caller.ts";
import { Load } from "./load.ts";
import { report, World, type WorldServer } from "./world.ts";

/** A thread is stuck after 10 s; and it takes a while to be seen and mended. */
const MENDED_MS = 40_000;
const FREEZES_MAX = 200;
/** Names for people of a thread that waits for nothing in particular. */
const ASLEEP = "asleep";

const world = new World();
const tree = world.make("host");
const children: Bun.Subprocess[] = [];
const loads: Load[] = [];
let server: WorldServer;

beforeAll(async () => {
  server = await world.server([tree]);
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  for (const load of loads) load.kill();
  await world.close();
});

function begin(target: string): Load {
  const load = new Load(target, `${world.directory}/load${loads.length}`);
  loads.push(load);
  return load;
}

/**
 * What the threads of a daemon are at; undefined where it does not answer: one of them was
 * stopped while it had a lock of the runtime's that all threads need.
 */
async function threadsOf(pid: number): Promise<ThreadReport[] | undefined> {
  const endpoint = endpoints().find((one) => one.pid === pid);
  const answer =
    endpoint && (await ask(endpoint.path, { want: "snapshot" }).catch(() => undefined));
  return answer?.threads as ThreadReport[] | undefined;
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
    const at = (await threadsOf(pid))?.find((one) => one.tid === tid)?.at;
    if (at !== undefined && at !== ASLEEP) return () => child.kill("SIGKILL");
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
  const work = begin(mount.target);
  await work.goesOn();
  await freezeReactor(mount.pid);
  await work.goesOn();
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
  const work = begin(mount.target);
  await work.goesOn();
  const release = await freezeReactor(server.pid);
  await work.goesOn();
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
  const work = begin(mount.target);
  await work.goesOn();
  process.kill(inner.pid, "SIGSTOP");
  const told = () => outer.log().includes("does not answer");
  try {
    await eventually(told, "the server says that it waits", MENDED_MS);
  } finally {
    process.kill(inner.pid, "SIGCONT");
  }
  await work.goesOn();
  expect(await work.end()).toBe("0");
  expect(outer.log()).toMatch(/stuck: at \w+ for \d+ s; .*waits in \w*fuse|request_wait_answer/);
  expect(outer.log()).not.toContain("Starting the server anew");
  await world.umount(mount.target);
  await world.vanished(mount);
}, 120_000);
