/**
 * `scripts/bench links`: what carries frames, beside each other. Two processes, a frame there
 * and a frame back: 100 bytes each way, and 4 KiB or 1 MiB back as a READ's answer, by a link
 * over PCIe (a file in shared memory) and by a unix socket, in turns. Then what an idle
 * connection costs.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { median } from "../bench/results.ts";
import { align, short } from "../bench/table.ts";
import { type Figures, IDLE_S, KINDS, measure, SIZES } from "./client.ts";

const ROUNDS = 5;
const SERVER = new URL("./server.ts", import.meta.url).pathname;

/** One run over a connection of `kind`, with a process of its own at the other end. */
async function run(kind: string, directory: string): Promise<Figures> {
  const address = kind === "pcie" ? `pcie://${directory}/bar` : `unix://${directory}/socket`;
  const child = Bun.spawn([process.execPath, SERVER, address], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    // It says so when it listens.
    for await (const _ of child.stdout) break;
    return measure(address, child.pid);
  } finally {
    child.kill();
    await child.exited;
  }
}

/** Measures and prints a table. */
export async function benchLinks(): Promise<void> {
  const directory = mkdtempSync("/dev/shm/bench-links-");
  const samples = new Map<string, number[]>();
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const kind of KINDS) {
        for (const [row, value] of await run(kind, directory)) {
          const key = `${row}\0${kind}`;
          samples.set(key, [...(samples.get(key) ?? []), value]);
        }
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
  const rows = [
    ...SIZES.flatMap(({ name }) => [`${name}, round trip p50, µs`, `${name}, MB/s`]),
    `idle for ${IDLE_S} s, % of a core, both ends`,
  ];
  const value = (row: string, kind: string) => median(samples.get(`${row}\0${kind}`) ?? []);
  const lines = rows.map((row) => [row, ...KINDS.map((kind) => short(value(row, kind)))]);
  console.log(`${cpus()[0]?.model}, ${cpus().length} cores, medians of ${ROUNDS} rounds\n`);
  console.log(align([["", ...KINDS], ...lines]));
}
