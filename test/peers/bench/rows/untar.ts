/** Unpacking an archive with tar; with more threads, parts of it at the same time. */
import { run } from "../processes.ts";
import { partName, THREADS } from "../tree.ts";
import type { SteadyScenario } from "./types.ts";

const TIMEOUT_MS = 120_000;

function scenario(threads: number): SteadyScenario {
  const row = { id: `untar, t${threads}`, unit: "ms", threads, mode: "default" } as const;
  return {
    rows: [row],
    mode: "default",
    timeoutMs: TIMEOUT_MS,
    async run({ ground, warmUp, serial }, stack) {
      // A quarter of the files is warm-up enough, and sshfs takes seconds for all.
      const users = warmUp ? 1 : threads;
      const parts = Array.from({ length: users }, (_, thread) => ({
        archive: `${ground.scratch.path}/${partName("repo", warmUp ? 4 : threads, thread)}.tar`,
        directory: `${stack.root}/work/untar_${serial}_${thread}`,
      }));
      await run(["mkdir", ...parts.map((part) => part.directory)], {});
      const startMs = performance.now();
      await Promise.all(
        parts.map(({ archive, directory }) =>
          run(["tar", "-xf", archive, "-C", directory], { timeoutMs: TIMEOUT_MS }),
        ),
      );
      return new Map([[row.id, { value: performance.now() - startMs }]]);
    },
  };
}

export const untarScenarios = THREADS.map(scenario);
