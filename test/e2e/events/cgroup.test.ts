/** cgroup.events tells through the mount that a group is empty: inotify of a file that is made when read. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import type { WorldMount } from "../mounts/world.ts";
import { sh } from "../support/run.ts";
import { EventStage } from "./stage.ts";

const GROUP = `qtfs-events-${process.pid}`;

const stage = new EventStage();
let mount: WorldMount;

beforeAll(async () => {
  const tree = stage.world.make("cgroup");
  await sh(`mount -t cgroup2 none ${tree}; mkdir ${tree}/${GROUP}`);
  await stage.open(tree);
  mount = await stage.mount();
});
afterAll(async () => {
  await stage.endWatchers();
  await sh(`rmdir ${stage.tree}/${GROUP} || true`);
  await sh(`umount --lazy ${stage.tree}`);
  await stage.close();
});

test("a group that is filled and emptied, by its file and by its directory", async () => {
  const group = `${mount.target}/${GROUP}`;
  const here = await stage.watcher(`${group}/cgroup.events`);
  const whole = await stage.watcher(group);
  await stage.watches(mount, 2);
  expect(readFileSync(`${group}/cgroup.events`, "latin1")).toContain("populated 0");
  const child = Bun.spawn(["sh", "-c", `echo $$ >${stage.tree}/${GROUP}/cgroup.procs; read word`], {
    stdin: "pipe",
  });
  await here.told("1 MODIFY");
  await whole.told("1 MODIFY cgroup.events");
  expect(readFileSync(`${group}/cgroup.events`, "latin1")).toContain("populated 1");
  const again = await stage.watcher(`${group}/cgroup.events`);
  child.stdin.end();
  await child.exited;
  await again.told("1 MODIFY");
  expect(readFileSync(`${group}/cgroup.events`, "latin1")).toContain("populated 0");
});

/** Whether the controller of memory is with version 2, as in the guest of kernel/cgroups-guest.test.ts. */
const hasMemory = /^memory\t0\t\d+\t1$/m.test(readFileSync("/proc/cgroups", "utf8"));
if (hasMemory) {
  test("a group that takes more memory than its limit: memory.events", async () => {
    const root = `${mount.target}/cgroup.subtree_control`;
    writeFileSync(root, "+memory");
    const group = `${mount.target}/${GROUP}`;
    writeFileSync(`${group}/memory.max`, "16M");
    await stage.endWatchers();
    const watcher = await stage.watcher(`${group}/memory.events`);
    await stage.watches(mount, 1);
    const script = "read -r; head -c 200M /dev/zero | tail -c 100M | wc -c";
    const child = Bun.spawn(["bash", "-c", script], { stdin: "pipe", stdout: "ignore" });
    writeFileSync(`${group}/cgroup.procs`, `${child.pid}`);
    child.stdin.write("\n");
    child.stdin.end();
    await watcher.told("1 MODIFY");
    await child.exited;
    expect(readFileSync(`${group}/memory.events`, "latin1")).toMatch(/^oom_kill [1-9]/m);
    writeFileSync(root, "-memory");
  });
}
