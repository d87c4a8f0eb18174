/** Watches outlive what happens to connection and processes, and end with the mount. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { eventually } from "../mounts/caller.ts";
import { mountsAt, type WorldMount } from "../mounts/world.ts";
import { sh } from "../support/run.ts";
import { EventStage } from "./stage.ts";

const TOLD_MS = 30_000;

const stage = new EventStage();
let mount: WorldMount;

beforeAll(async () => {
  await stage.open();
  mount = await stage.mount();
});
afterEach(async () => {
  await stage.endWatchers();
  await stage.watches(mount, 0);
});
afterAll(async () => {
  await stage.close();
});

test("kill -9 of the mount's process, and again while it tells", async () => {
  const place = await stage.place();
  const there = await stage.watcher(`${stage.tree}/${place}`);
  const here = await stage.watcher(`${mount.target}/${place}`);
  for (let death = 0; death < 3; death++) {
    await stage.watches(mount, 1);
    await sh("touch a b c; mv a d; rm b c d", { cwd: `${stage.tree}/${place}` });
    await stage.settle(place, 1, [there, here]);
    mount = await stage.world.killed(mount);
  }
  expect(here.events).toEqual(there.events);
  await stage.watches(mount, 1);
  const busy = Bun.spawn(
    ["sh", "-c", "while :; do touch f; mkdir d; mv f g; chmod 700 d; rm g; rmdir d; done"],
    { cwd: `${stage.tree}/${place}` },
  );
  try {
    for (let death = 0; death < 3; death++) {
      await Bun.sleep(300);
      mount = await stage.world.killed(mount);
    }
  } finally {
    busy.kill("SIGKILL");
    await busy.exited;
  }
  // Nothing that was done for the watchers was done on the HOST.
  await sh("rm -rf f g d; touch kept", { cwd: `${stage.tree}/${place}` });
  await eventually(
    () => Bun.spawnSync(["ls", `${mount.target}/${place}`]).stdout.includes("kept"),
    "the mount goes on",
    TOLD_MS,
  );
  const [onHost, onMount] = [stage.tree, mount.target].map((root) => `${root}/${place}`);
  expect(await sh(`ls ${onMount}`)).toBe(await sh(`ls ${onHost}`));
  await stage.watches(mount, 1);
  await stage.settle(place, 1, [here]);
}, 120_000);

test("kill -9 of the server", async () => {
  const place = await stage.place();
  const there = await stage.watcher(`${stage.tree}/${place}`);
  const here = await stage.watcher(`${mount.target}/${place}`);
  await stage.watches(mount, 1);
  await sh("touch a", { cwd: `${stage.tree}/${place}` });
  await stage.settle(place, 1, [there, here]);
  await stage.restartServer();
  await stage.watches(mount, 1);
  await sh("mv a b; rm b", { cwd: `${stage.tree}/${place}` });
  await stage.settle(place, 1, [there, here]);
  expect(here.events).toEqual(there.events);
});

test("the mount can be unmounted though it is watched, and its watchers are told", async () => {
  const other = await stage.mount();
  const place = await stage.place();
  const here = await stage.watcher(`${other.target}/${place}`);
  await stage.watches(other, 1);
  await sh("touch a", { cwd: `${stage.tree}/${place}` });
  await here.told("1 CLOSE_WRITE a");
  expect(await stage.world.umount(other.target)).toBe(0);
  await here.told("1 UNMOUNT,ISDIR");
  await stage.world.vanished(other);
  expect(mountsAt(other.target)).toEqual([]);
});
