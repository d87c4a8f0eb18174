/** `scripts/bench sockets`: rounds over the pairs of machines, and a table. */
import { Machines } from "../../e2e/support/machines.ts";
import { sh } from "../../e2e/support/run.ts";
import { median } from "../bench/results.ts";
import { align, short } from "../bench/table.ts";
import { parseOptions, USAGE } from "./options.ts";
import { Bench, STALLED } from "./rows.ts";

const TALK = new URL("./talk.c", import.meta.url).pathname;

const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

/** Medians of all rounds, by row and pair. */
class Table {
  readonly #samples = new Map<string, number[]>();
  readonly #rows = new Set<string>();

  add(pair: string, figures: Map<string, number>): void {
    for (const [row, value] of figures) {
      const key = `${row}\0${pair}`;
      this.#rows.add(row);
      this.#samples.set(key, [...(this.#samples.get(key) ?? []), value]);
    }
  }

  value(row: string, pair: string): number | undefined {
    const samples = this.#samples.get(`${row}\0${pair}`);
    return samples && median(samples);
  }

  /** One line a row, the pairs beside each other, and what is asked of them below. */
  print(pairs: string[]): string {
    const cell = (value: number | undefined) => (value === undefined ? "-" : short(value));
    const line = (row: string) => [row, ...pairs.map((pair) => cell(this.value(row, pair)))];
    const derived = (name: string, of: (pair: string) => number | undefined) => [
      name,
      ...pairs.map((pair) => cell(of(pair))),
    ];
    const ratio = (one?: number, other?: number) =>
      one === undefined || other === undefined ? undefined : one / other;
    const ping = "ping-pong p50";
    // A file that goes the same way, and back again.
    const paths = ["file read", "file written"].map((row) => this.value(row, pairs[1] ?? ""));
    const file = (pair: string) => paths[pairs.indexOf(pair) - 1];
    const wire = this.value("round trip of the wire (statx) p50", pairs[1] ?? "");
    const native = this.value(ping, pairs[0] ?? "");
    const bound = native === undefined || wire === undefined ? undefined : 3 * native + wire;
    return align([
      ["µs; MB/s", ...pairs],
      ...[...this.#rows].map(line),
      derived("ping-pong p50 / (3 native + one round trip)", (pair) =>
        ratio(this.value(ping, pair), bound),
      ),
      derived(`ping-pong p50 beside ${STALLED} stalled readers / alone`, (pair) =>
        ratio(
          this.value(`${ping} beside ${STALLED} stalled readers`, pair),
          this.value(ping, pair),
        ),
      ),
      derived("stream / file", (pair) => ratio(this.value("stream", pair), file(pair))),
      derived("FIFO / file", (pair) => ratio(this.value("FIFO", pair), file(pair))),
    ]);
  }
}

/** Measures and prints; throws where a pair cannot be measured. */
export async function benchSockets(argv: string[]): Promise<void> {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  const machines = await Machines.start({ wire: options.wire });
  try {
    const talk = `${machines.scratch}/talk`;
    await sh(`cc -O2 -std=gnu11 -Wall -Wextra -pthread -o ${talk} ${TALK}`);
    const table = new Table();
    for (let round = 1; round <= options.rounds; round++) {
      for (const way of machines.ways) {
        say(`round ${round} of ${options.rounds}: ${way.name}`);
        const bench = new Bench(way, talk, options);
        if (way.client.name === "dpu") await bench.files();
        await bench.run();
        table.add(way.name, bench.figures);
      }
    }
    const pairs = machines.ways.map(({ name }) => name);
    process.stdout.write(`over ${options.wire}, medians of ${options.rounds} rounds\n`);
    process.stdout.write(`${table.print(pairs)}\n`);
  } finally {
    await machines.close();
  }
}
