/** poll(2), select(2) and epoll(7), level and edge, on the HOST's files through the mount. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { run, sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { type KernelHost, startKernelHost } from "./host.ts";
import { compileWatch, type How, Waiting } from "./waiting.ts";

const HOWS: How[] = ["poll", "select", "epoll", "edge"];

let host: KernelHost;
let program = "";
let group = "";

beforeAll(async () => {
  host = await startKernelHost();
  program = await compileWatch(host.scratch);
  group = `cgroup2/qtfs-events-${process.pid}`;
  mkdirSync(`${host.mountpoint}/${group}`);
});
afterAll(async () => {
  await run(["rmdir", `${host.tree}/${group}`]);
  await host?.close();
});

/** A process in the group, put there through the mount. */
function enter(): Bun.Subprocess {
  const sleeper = Bun.spawn(["sleep", "1000"]);
  writeFileSync(`${host.mountpoint}/${group}/cgroup.procs`, `${sleeper.pid}\n`);
  return sleeper;
}

test("several processes wait for one file in different ways, and each is woken each time", async () => {
  const file = `${host.mountpoint}/${group}/cgroup.events`;
  const waiting = [...HOWS, ...HOWS].map((how) => ({
    how,
    watch: new Waiting(program, how, file),
  }));
  for (const { watch } of waiting) expect(await watch.line()).toBe("waiting");
  for (let round = 0; round < 3; round++) {
    const sleeper = enter();
    for (const { how, watch } of waiting) {
      const line = await watch.line();
      expect([how, line]).toEqual([how, expect.stringMatching(/PRI.*populated 1/)]);
    }
    sleeper.kill();
    for (const { how, watch } of waiting) {
      const line = await watch.line();
      expect([how, line]).toEqual([how, expect.stringMatching(/PRI.*populated 0/)]);
    }
  }
  await Promise.all(waiting.map(({ watch }) => watch.end()));
});

test.each(HOWS)("a %s for mounts tells of each mount on the HOST", async (how) => {
  const watch = new Waiting(program, how, `${host.mountpoint}/proc/${process.pid}/mountinfo`);
  expect(await watch.line()).toBe("waiting");
  const target = `${host.scratch}/mounted`;
  mkdirSync(target);
  await sh(`mount -t tmpfs none ${target}`);
  expect(await watch.lineWith("PRI")).toContain("PRI");
  await sh(`umount ${target}`);
  expect(await watch.lineWith("PRI")).toContain("PRI");
  rmdirSync(target);
  await watch.end();
});

test("a sysctl tells that it was written, here or on the HOST", async () => {
  const path = "proc/sys/kernel/hostname";
  const name = readFileSync(`${host.tree}/${path}`, "utf8");
  const watch = new Waiting(program, "poll", `${host.mountpoint}/${path}`);
  expect(await watch.line()).toBe("waiting");
  for (const root of [host.mountpoint, host.tree]) {
    // The same again: nobody else is to notice.
    writeFileSync(`${root}/${path}`, name);
    expect(await watch.line()).toBe(`woken PRI ERR: ${name.replace("\n", " ")}`);
  }
  await watch.end();
});

if (existsSync("/proc/pressure/cpu")) {
  test.each(HOWS)("a %s for a trigger of pressure wakes when there is any", async (how) => {
    const file = `${host.mountpoint}/${group}/cpu.pressure`;
    const watch = new Waiting(program, how, file, "some 1000 2000000");
    expect(await watch.line()).toBe("waiting");
    // Two that want the same processor.
    const busy = [0, 1].map(() => Bun.spawn(["taskset", "1", "sh", "-c", "while :; do :; done"]));
    for (const { pid } of busy) writeFileSync(`${host.tree}/${group}/cgroup.procs`, `${pid}`);
    expect(await watch.line()).toContain("PRI");
    // Another one, a window later.
    expect(await watch.line()).toContain("PRI");
    for (const one of busy) one.kill();
    await Promise.all(busy.map((one) => one.exited));
    await watch.end();
  });
}

test("a file that is polled and closed again and again leaves nothing behind", async () => {
  const file = `${host.mountpoint}/${group}/cgroup.events`;
  for (let i = 0; i < 20; i++) {
    const watch = new Waiting(program, "edge", file);
    expect(await watch.line()).toBe("waiting");
    await watch.end();
  }
  const watches = async () => {
    const { daemons } = JSON.parse(await sh(`${QTFS} info ${host.server.address} --json`));
    return daemons[0].totals.watches;
  };
  // Closing is told with the next request, or soon.
  const endMs = Date.now() + 30_000;
  while (Date.now() < endMs && (await watches()) > 0) await Bun.sleep(50);
  expect(await watches()).toBe(0);
});
