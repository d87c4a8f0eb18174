/** Rows that a load worker measures. */
import type { Mode } from "../contestants/types.ts";
import type { LoadName } from "../loads/index.ts";
import { ensureProcesses } from "../sleepers.ts";
import { THREADS } from "../tree.ts";
import type { SteadyScenario, Unit } from "./types.ts";

const TIMEOUT_MS = 30_000;
const MB = 1e6;
const BLOCK_BYTES = 4096;

/** Load, row, unit, what one unit of the load is worth in units of the row. */
type Line = [load: LoadName, id: string, mode: Mode, unit: Unit, worth: number];

const LINES: Line[] = [
  ["fstat", "fstat uncached", "uncached", "ops/s", 1],
  ["stat", "stat uncached", "uncached", "ops/s", 1],
  ["missing", "lookup missing name uncached", "uncached", "ops/s", 1],
  ["readdir", "readdir+stat of 10,000 uncached", "uncached", "entries/s", 1],
  ["readSmall", "open-read-close 4 KiB uncached", "uncached", "ops/s", 1],
  ["randomRead", "random read 4 KiB O_DIRECT", "uncached", "ops/s", 1 / BLOCK_BYTES],
  ["randomWrite", "random write 4 KiB O_DIRECT", "uncached", "ops/s", 1 / BLOCK_BYTES],
  ["directRead", "stream read 1 MiB O_DIRECT", "uncached", "MB/s", 1 / MB],
  ["directWrite", "stream write 1 MiB O_DIRECT", "uncached", "MB/s", 1 / MB],
  ["stat", "stat cached", "default", "ops/s", 1],
  ["readdir", "readdir+stat of 10,000 again", "default", "entries/s", 1],
  ["readSmall", "open-read-close 4 KiB", "default", "ops/s", 1],
  ["createSmall", "create-write-close-unlink", "default", "ops/s", 1],
  ["cachedRead", "stream read, page cache dropped", "default", "MB/s", 1 / MB],
  ["procStat", "open-read-close /proc/N/stat of 500", "proc", "ops/s", 1],
  ["cachedWrite", "stream write, page cache+fsync", "default", "MB/s", 1 / MB],
];

/** A latency per system call tells something, one per 32 MiB does not. */
const hasLatency = (unit: Unit) => unit === "ops/s";

function scenario([load, id, mode, unit, worth]: Line, threads: number): SteadyScenario {
  const row = { id: `${id}, t${threads}`, unit, threads, mode };
  return {
    rows: [row],
    mode,
    timeoutMs: TIMEOUT_MS,
    async run({ ground, effort, warmUp }, stack) {
      if (mode === "proc") await ensureProcesses();
      const figures = await ground.pool.load({
        load,
        root: stack.root,
        threads,
        warmMs: warmUp ? 0 : effort.warmMs,
        measureMs: warmUp ? effort.firstWarmMs : effort.measureMs,
      });
      const value = figures.unitsPerSecond * worth;
      const { p50Us, p99Us } = figures;
      return new Map([[row.id, hasLatency(unit) ? { value, p50Us, p99Us } : { value }]]);
    },
  };
}

export const loadScenarios: SteadyScenario[] = LINES.flatMap((line) =>
  THREADS.map((threads) => scenario(line, threads)),
);
