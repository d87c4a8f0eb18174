/**
 * Each file of the HOST's /proc, /sys and cgroup trees reads the same through the mount
 * as on the HOST (sweep.c compares), as root and as an ordinary user.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { run, sh } from "../support/run.ts";
import { type KernelHost, startKernelHost } from "./host.ts";

const NOBODY = 65_534;
const MINUTES = 60_000;

let host: KernelHost;

beforeAll(async () => {
  host = await startKernelHost();
  await sh(`cc -O2 -Wall -Wextra -Werror -o ${host.scratch}/sweep ${import.meta.dir}/sweep.c`);
  await sh(`chmod 755 ${host.scratch} ${host.scratch}/sweep`);
});
afterAll(() => host?.close());

interface Swept {
  counts: Record<string, number>;
  different: string[];
}

async function sweep(uid: number, leftOut: string[]): Promise<Swept> {
  // Who reads sees itself in these two: on the HOST that is the server.
  const names = ["self", "thread-self", ...host.pids().map(String), ...leftOut];
  const processes = Math.max(2, availableParallelism());
  const { code, stdout, stderr } = await run(
    [`${host.scratch}/sweep`, host.tree, host.mountpoint, `${processes}`, `${uid}`, ...names],
    { timeoutMs: 4 * MINUTES },
  );
  expect([code, stderr]).toEqual([0, ""]);
  const counts: Record<string, number> = {};
  const skipped = new Map<string, number>();
  for (const line of stdout.trim().split("\n")) {
    const [word, first = "", second] = line.split(" ");
    if (word === "count") counts[first] = (counts[first] ?? 0) + Number(second);
    const why = line.slice(`skip ${first} `.length);
    if (word === "skip") skipped.set(why, (skipped.get(why) ?? 0) + Number(first));
  }
  const different = stdout.split("\n").filter((line) => line.startsWith("different "));
  console.log(`as user ${uid}: ${JSON.stringify(counts)}, and not read:`);
  for (const [why, count] of skipped) console.log(`  ${count} ${why}`);
  return { counts, different };
}

test(
  "each file reads the same, or is refused with the same errno",
  async () => {
    const { counts, different } = await sweep(0, []);
    expect(different).toEqual([]);
    expect(counts.exact).toBeGreaterThan(3000);
    expect(counts.shaped).toBeGreaterThan(10);
    expect(counts.refused).toBeGreaterThan(10);
  },
  5 * MINUTES,
);

test(
  "so it does for an ordinary user, who is shown less",
  async () => {
    // What threads have, their processes have as well.
    const { counts, different } = await sweep(NOBODY, ["/task"]);
    expect(different).toEqual([]);
    expect(counts.exact).toBeGreaterThan(1500);
    expect(counts.refused).toBeGreaterThan(100);
  },
  5 * MINUTES,
);

/** What a walk met: names of what stays, and of the processes that come and go meanwhile. */
interface Walked {
  lasting: Set<string>;
  ofProcesses: Set<string>;
}

async function walk(root: string, uid: number): Promise<Walked> {
  const prune = uid === 0 ? [] : ["-name", "task", "-prune", "-o"];
  // With the size and the link's target: each entry is asked about, not only listed.
  const { code, stdout } = await run(["find", root, ...prune, "-printf", "%P %s %l\\n"], {
    uid,
    timeoutMs: 4 * MINUTES,
  });
  // 1: some directories are not for everybody, some processes have ended.
  expect([0, 1]).toContain(code);
  const walked: Walked = { lasting: new Set(), ofProcesses: new Set() };
  for (const line of stdout.split("\n")) {
    const name = line.slice(0, line.indexOf(" "));
    (/^proc\/\d/.test(name) ? walked.ofProcesses : walked.lasting).add(name);
  }
  return walked;
}

test.each([0, NOBODY])(
  "a walk over all of it, as user %p, comes to its end",
  async (uid) => {
    const there = await walk(host.mountpoint, uid);
    const here = await walk(host.tree, uid);
    const [seen, expected] = [there.lasting.size, here.lasting.size];
    console.log(`as user ${uid}: ${seen} entries there, ${expected} here`);
    console.log(`of processes ${there.ofProcesses.size} there, ${here.ofProcesses.size} here`);
    // Other tests' cgroups, devices and interfaces come and go.
    expect(seen).toBeGreaterThan(expected * 0.7);
    expect(seen).toBeLessThan(expected * 1.5);
    for (const pid of [1, process.pid]) {
      expect(there.ofProcesses).toContain(`proc/${pid}/status`);
      expect(there.ofProcesses).toContain(`proc/${pid}/net/dev`);
    }
  },
  5 * MINUTES,
);
