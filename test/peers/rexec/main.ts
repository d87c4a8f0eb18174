/** `scripts/bench rexec`: from start to end, and through pipes, round by round, and a table. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { installPackages } from "../bench/prerequisites.ts";
import { run } from "../bench/processes.ts";
import { median } from "../bench/results.ts";
import { align, short } from "../bench/table.ts";
import { type Contestant, Stage } from "./contestants.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";

const MEASURE = new URL("./measure.c", import.meta.url).pathname;
const QTFS = new URL("../../../dist/qtfs", import.meta.url).pathname;
const ROUND_MS = 300_000;

const ROWS = ["true p50, ms", "true p99, ms", "from the program, MB/s", "to the program, MB/s"];
/** Where less is better. */
const TIMES = 2;

const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

/** Samples by row and contestant. */
type Samples = Map<string, number[]>;

class Bench {
  readonly #measure: string;
  readonly #options: Options;
  readonly #samples: Samples = new Map();

  constructor(measure: string, options: Options) {
    this.#measure = measure;
    this.#options = options;
  }

  async round({ name, prefix }: Contestant): Promise<void> {
    const { runs, bytes } = this.#options;
    const times = await this.#figures("runs", `${runs}`, ...prefix, "true");
    times.sort((a, b) => a - b);
    const quantile = (part: number) => (times[Math.floor(part * times.length)] ?? 0) / 1000;
    const [from, to] = ["from", "to"];
    const source = await this.#figures(
      from,
      `${bytes}`,
      ...prefix,
      this.#measure,
      "source",
      `${bytes}`,
    );
    const sink = await this.#figures(to, `${bytes}`, ...prefix, this.#measure, "sink");
    const figures = [quantile(0.5), quantile(0.99), source[0] ?? 0, sink[0] ?? 0];
    figures.forEach((figure, row) => {
      const key = `${row} ${name}`;
      this.#samples.set(key, [...(this.#samples.get(key) ?? []), figure]);
    });
  }

  async #figures(...words: string[]): Promise<number[]> {
    const stdout = await run([this.#measure, ...words], { timeoutMs: ROUND_MS });
    return stdout.trim().split("\n").map(Number);
  }

  /** A line a row, the contestants beside each other; below it how rexec does beside ssh. */
  print(contestants: readonly Contestant[]): string {
    const names = contestants.map(({ name }) => name);
    const value = (row: number, name: string) => median(this.#samples.get(`${row} ${name}`) ?? []);
    const cell = (n: number) => (Number.isNaN(n) ? "-" : short(n));
    const lines = ROWS.map((row, i) => [row, ...names.map((name) => cell(value(i, name)))]);
    const ratios = ["ssh-mux", "ssh"].flatMap((peer) =>
      ROWS.map((row, i) => [
        `${row.replace(/,.*/, "")}: times as good as ${peer}`,
        ...names.map((name) => {
          const ratio = value(i, name) / value(i, peer);
          return cell(i < TIMES ? 1 / ratio : ratio);
        }),
      ]),
    );
    return align([["", ...names], ...lines, ...ratios]);
  }
}

/** Measures and prints. */
export async function benchRexec(argv: string[]): Promise<void> {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  await installPackages();
  const directory = mkdtempSync(`${tmpdir()}/bench-rexec-`);
  const stage = new Stage(directory, QTFS);
  try {
    const measure = `${directory}/measure`;
    await run(["cc", "-O2", "-Wall", "-Wextra", "-o", measure, MEASURE], {});
    const all = await stage.start();
    const { only } = options;
    const contestants = all.filter(({ name }) => only.length === 0 || only.includes(name));
    const bench = new Bench(measure, options);
    for (let round = 1; round <= options.rounds; round++) {
      for (const contestant of contestants) {
        say(`round ${round} of ${options.rounds}: ${contestant.name}`);
        await bench.round(contestant);
      }
    }
    process.stdout.write(`${bench.print(contestants)}\n`);
  } finally {
    await stage.end();
    rmSync(directory, { recursive: true, force: true });
  }
}
