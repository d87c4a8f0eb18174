/** cgroup.events tells through the mount that a group is empty: inotify of a file that is made when read. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
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
