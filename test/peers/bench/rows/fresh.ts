/** What happens from the start of a daemon on: first answer, first walk, git status. */
import { run } from "../processes.ts";
import { ensureTree, type Stack } from "../stack.ts";
import { GIT_ENV, partName, THREADS } from "../tree.ts";
import type { Cell, FreshScenario, Row, Sample, Unit } from "./types.ts";

const TIMEOUT_MS = 120_000;

/** Milliseconds until `git status` of all repositories is done; they must be clean. */
async function gitStatus(root: string, threads: number): Promise<number> {
  const startMs = performance.now();
  const outputs = await Promise.all(
    Array.from({ length: threads }, (_, thread) => {
      const repository = `${root}/${partName("repo", threads, thread)}`;
      const command = ["git", "-C", repository, "status", "--porcelain"];
      return run(command, { env: GIT_ENV, timeoutMs: TIMEOUT_MS });
    }),
  );
  const elapsedMs = performance.now() - startMs;
  const changed = outputs.find((output) => output !== "");
  if (changed !== undefined) throw new Error(`git status sees changes: ${changed.slice(0, 200)}`);
  return elapsedMs;
}

/** Makes the kernel forget the names it knows of a mount that was filled through itself. */
async function forgetNames(stack: Stack): Promise<void> {
  await run(["sync", "-f", stack.root], {});
  await run(["mount", "-i", "-o", "remount", stack.root], {});
}

async function firstWalk({ ground }: Cell, stack: Stack, threads: number): Promise<Sample> {
  const once = { warmMs: 0, measureMs: TIMEOUT_MS, maxSteps: 1 };
  const spec = { load: "walk", root: stack.root, threads, ...once } as const;
  return { value: (await ground.pool.load(spec)).unitsPerSecond };
}

function scenario(threads: number): FreshScenario {
  const row = (id: string, unit: Unit): Row => ({
    id: `${id}, t${threads}`,
    unit,
    threads,
    mode: "default",
  });
  const rows = {
    walk: row("readdir+stat of 10,000 first", "entries/s"),
    first: row("git status first", "ms"),
    second: row("git status second", "ms"),
    mount: row("mount: exec to first stat", "ms"),
    server: row("server: exec to accept", "ms"),
  };
  const { mount, server, ...used } = rows;
  return {
    rows: threads === 1 ? Object.values(rows) : Object.values(used),
    timeoutMs: TIMEOUT_MS,
    async run(cell, start) {
      const { contestant, ground } = cell;
      const samples = new Map<string, Sample>();
      // The index must know the files as the HOST sees them, whoever wrote it last.
      const tree = await ensureTree(ground, contestant);
      if (!contestant.holdsTree) await gitStatus(tree, threads);
      const stack = await start();
      if (contestant.holdsTree) {
        await gitStatus(stack.root, threads);
        await forgetNames(stack);
      }
      samples.set(rows.walk.id, await firstWalk(cell, stack, threads));
      samples.set(rows.first.id, { value: await gitStatus(stack.root, threads) });
      samples.set(rows.second.id, { value: await gitStatus(stack.root, threads) });
      const { mountStartMs, serverStartMs } = stack;
      if (mountStartMs !== undefined) samples.set(mount.id, { value: mountStartMs });
      if (serverStartMs !== undefined) samples.set(server.id, { value: serverStartMs });
      return samples;
    },
  };
}

export const freshScenarios = THREADS.map(scenario);
