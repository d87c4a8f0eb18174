/** The results as JSON. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import type { Options } from "./options.ts";
import type { Results } from "./results.ts";

/** What the figures depend on. */
export function machine() {
  return {
    kernel: release(),
    arch: process.arch,
    cpus: cpus().length,
    cpu: cpus()[0]?.model ?? "unknown",
    bun: Bun.version,
    loadAverage: loadavg()[0] ?? 0,
    congestionControl: readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim(),
  };
}

export function toJson(results: Results, options: Options, started: Date): string {
  const names = results.contestants.map(({ name }) => name);
  const rows = results.rows.map((row) => {
    const best = results.best("sshfs", row);
    const floor = results.best("floor", row);
    const cells = names.map((name) => {
      const { samples, error } = results.cell(row, name);
      const cell = {
        median: results.value(row, name),
        p50Us: results.latencyUs(row, name, "p50Us"),
        p99Us: results.latencyUs(row, name, "p99Us"),
        samples: samples.map((sample) => sample.value),
        error,
        timesBetterThanBestSshfs: results.timesBetter(row, name, best),
        floorTimesBetter: results.timesBetter(row, floor, name),
      };
      return [name, cell] as const;
    });
    return { ...row, bestSshfs: best, bestFloor: floor, contestants: Object.fromEntries(cells) };
  });
  const document = {
    started: started.toISOString(),
    ended: new Date().toISOString(),
    machine: machine(),
    effort: options.effort,
    contestants: results.contestants.map(({ name, family, note }) => ({ name, family, note })),
    rows,
    memoryMiB: Object.fromEntries(results.memory),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
