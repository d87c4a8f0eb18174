/** `scripts/bench supervisor`: what calls cost under a supervisor, beside what they cost without. */
import { Stage } from "../../e2e/supervisor/stage.ts";
import { median } from "../bench/results.ts";
import { align, short } from "../bench/table.ts";

const ROUNDS = 5;

/** Calls by what is shown of them; `at` is a directory of the share. */
const ROWS: readonly (readonly [row: string, count: number, words: (at: string) => string])[] = [
  ["not looked at: getppid", 1_000_000, () => "getppid"],
  ["goes on here: kill, of one's own", 10_000, () => "kill 1 0"],
  ["goes on here: umount2", 10_000, () => "umount /etc 0"],
  ["goes on here: statfs", 10_000, () => "statfs /etc"],
  ["of a share: statfs", 2000, (at) => `statfs ${at}/a`],
  ["of a share: fstatfs", 2000, (at) => `fstatfs ${at}/a`],
  ["on the HOST: umount2, EINVAL", 2000, (at) => `umount ${at}/a 0`],
];

export async function benchSupervisor(): Promise<void> {
  const stage = await Stage.start();
  try {
    const at = stage.directory("a");
    const script = ROWS.map(([, count, words]) => `${stage.program} loop ${count} ${words(at)}`);
    const measure = async (words: string[]) => {
      const { stdout, stderr, code } = await stage.dpu.run(words, { timeoutMs: 300_000 });
      if (code !== 0) throw new Error(stderr);
      return stdout.trim().split("\n").map(Number);
    };
    const rounds = { without: [] as number[][], under: [] as number[][] };
    for (let round = 0; round < ROUNDS; round++) {
      const words = ["sh", "-c", script.join("\n")];
      rounds.without.push(await measure(words));
      rounds.under.push(await measure(stage.under(words, "info")));
    }
    const cell = (all: number[][], row: number) =>
      short(median(all.map((figures) => (figures[row] as number) / 1000)));
    const rows = ROWS.map(([row], i) => [row, cell(rounds.without, i), cell(rounds.under, i)]);
    const text = align([["µs, the least mean of 100 calls", "without", "under"], ...rows]);
    process.stdout.write(`${text}\n`);
  } finally {
    await stage.close();
  }
}
