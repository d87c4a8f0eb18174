/** Memory of both processes: idle, after a walk over many files, and when the kernel lets go. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import type { ServerReport } from "../../../src/info/report.ts";
import { sh } from "../support/run.ts";
import { report, residentMb, World, type WorldMount, type WorldServer } from "./world.ts";

const IDLE_MB = 80;
const WALKED_MB = 300;
const DIRECTORIES = 200;
const FILES_EACH = 1000;
const WALK_MS = 180_000;
const FORGET_MS = 60_000;

const world = new World();
const tree = world.make("host");
let server: WorldServer;
let mount: WorldMount;

beforeAll(async () => {
  server = await world.server([tree]);
  mount = await world.mount(server, tree);
});

afterAll(() => world.close());

function figures(when: string): { server: number; mount: number } {
  const now = { server: residentMb(server.pid), mount: residentMb(mount.pid) };
  console.log(`${when}: server ${now.server.toFixed(1)} MB, mount ${now.mount.toFixed(1)} MB`);
  return now;
}

async function nodes(): Promise<number> {
  // Any request has the server look at what it holds.
  existsSync(`${mount.target}/absent${Math.random()}`);
  return (await report<ServerReport>(server.pid)).totals.nodes ?? 0;
}

test("idle", () => {
  const idle = figures("idle");
  expect(idle.server).toBeLessThan(IDLE_MB);
  expect(idle.mount).toBeLessThan(IDLE_MB);
});

test(
  "a walk over 200,000 files, and the kernel's forgetting of them",
  async () => {
    await sh(
      `for d in $(seq ${DIRECTORIES}); do mkdir $d; (cd $d; seq ${FILES_EACH} | xargs touch); done`,
      { cwd: tree, timeoutMs: WALK_MS },
    );
    const count = await sh("find . -type f -size -1 -printf . | wc -c", {
      cwd: mount.target,
      timeoutMs: WALK_MS,
    });
    expect(Number(count)).toBe(DIRECTORIES * FILES_EACH);
    const walked = figures("after the walk");
    expect(walked.server).toBeLessThan(WALKED_MB);
    expect(walked.mount).toBeLessThan(WALKED_MB);

    const held = await nodes();
    writeFileSync("/proc/sys/vm/drop_caches", "2");
    let left = held;
    const endMs = performance.now() + FORGET_MS;
    while (left > held / 4 && performance.now() < endMs) {
      await Bun.sleep(500);
      left = await nodes();
    }
    console.log(`the server's nodes: ${held}, after dropping caches ${left}`);
    // Others on this machine may have had the kernel forget some before.
    expect(held).toBeGreaterThan(FILES_EACH);
    expect(left).toBeLessThan(held / 4);
    figures("after dropping caches");
  },
  WALK_MS,
);
