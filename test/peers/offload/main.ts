/** `scripts/bench offload`: containers from their commands to their ends, and what it costs the HOST. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { IMAGE } from "../../e2e/offload/stage.ts";
import { run } from "../bench/processes.ts";
import { median } from "../bench/results.ts";
import { align, short } from "../bench/table.ts";
import { CHORES, CLEAN_UP, PREPARE } from "./chores.ts";
import { type Contestant, native, offloaded } from "./contestants.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";

const SETUP = new URL("../../../scripts/setup", import.meta.url).pathname;
const SETUP_MS = 600_000;
const NAME = IMAGE.replace("docker.io/library/", "");

/** Commands of which each is timed, in the order in which they are run; `$n` is another number each time. */
const COMMANDS: readonly (readonly [row: string, command: string])[] = [
  ["docker run --rm, ms", `docker run --rm --network none ${NAME} true`],
  ["  docker create, ms", `docker create --name b$n --network none ${NAME} true`],
  ["  docker start -a, ms", "docker start -a b$n"],
  ["  docker rm, ms", "docker rm b$n"],
  ["ctr run --rm, ms", `ctr run --rm ${IMAGE} b$n true`],
];
/** Before anything is measured: management planes run for weeks, and their first runs are slower. */
const WARM_RUNS = 40;
const PLANE = "HOST: daemons' processor time of a docker run, ms";
const ALL = "HOST: all processor time of a docker run, ms";

/** Processor time of the HOST's daemons for one of a kind; a minute of a node's that starts one container. */
const choreRow = (row: string) => `HOST: daemons' processor time of ${row}, ms`;
const MINUTE = "HOST: daemons' processor time of a node's minute, ms";

const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

/** A bash script that runs all commands \`runs\` times and prints the µs of each, a line a run. */
function script(commands: readonly string[], runs: number): string {
  const timed = commands.map(
    (command) => `start=\${EPOCHREALTIME/./}
      ${command} </dev/null >/dev/null
      printf '%d ' $((\${EPOCHREALTIME/./} - start))`,
  );
  return `for n in $(seq ${runs}); do ${timed.join("\n")}\necho; done`;
}

class Bench {
  readonly #samples = new Map<string, number[]>();
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  async warm(one: Contestant): Promise<void> {
    await one.sh(script([`docker run --rm --network none ${NAME} true`], WARM_RUNS));
  }

  async round(one: Contestant): Promise<void> {
    const { runs } = this.#options;
    const commands = COMMANDS.map(([, command]) => command);
    const printed = await one.sh(script(commands, runs));
    for (const line of printed.trim().split("\n")) {
      const figures = line.trim().split(" ").map(Number);
      COMMANDS.forEach(([row], i) => {
        this.#add(row, one, (figures[i] ?? Number.NaN) / 1000);
      });
    }
    const before = await one.spent();
    await one.sh(script(commands.slice(0, 1), runs));
    const after = await one.spent();
    this.#add(PLANE, one, (after.plane - before.plane) / runs);
    this.#add(ALL, one, (after.all - before.all) / runs);
  }

  /** What the HOST's daemons spend on each chore. */
  async chores(one: Contestant): Promise<void> {
    await one.sh(PREPARE);
    for (const { row, command, times } of CHORES) {
      const again = `for n in $(seq ${times}); do ${command} >/dev/null; done`;
      await one.sh(command);
      const before = await one.spent();
      await one.sh(again);
      const after = await one.spent();
      this.#add(choreRow(row), one, (after.plane - before.plane) / times);
    }
    await one.sh(CLEAN_UP);
    const minute = CHORES.map(
      ({ row, perMinute }) => perMinute * this.#median(choreRow(row), one.name),
    );
    const sum = minute.reduce((total, ms) => total + ms, this.#median(PLANE, one.name));
    this.#add(MINUTE, one, sum);
  }

  /** A line a row, the contestants beside each other, and how many times as much it is on two machines. */
  print(): string {
    const chores = CHORES.map(({ row }) => choreRow(row));
    const rows = [...COMMANDS.map(([row]) => row), PLANE, ...chores, MINUTE, ALL];
    const lines = rows.map((row) => {
      const [one, other] = [this.#median(row, "native"), this.#median(row, "offloaded")];
      return [row, short(one), short(other), one === 0 ? "-" : short(other / one)];
    });
    return align([["medians", "native", "offloaded", "times"], ...lines]);
  }

  #median(row: string, name: string): number {
    return median(this.#samples.get(`${row} ${name}`) ?? []);
  }

  #add(row: string, { name }: Contestant, figure: number): void {
    const key = `${row} ${name}`;
    this.#samples.set(key, [...(this.#samples.get(key) ?? []), figure]);
  }
}

/** Measures and prints. */
export async function benchOffload(argv: string[]): Promise<void> {
  const options = parseOptions(argv);
  if (options.help) {
    process.stdout.write(USAGE);
    return;
  }
  await run([SETUP, "demo-offload"], { timeoutMs: SETUP_MS });
  const scratch = mkdtempSync("/var/tmp/bench-offload-");
  mkdirSync(`${scratch}/native`);
  const contestants: Contestant[] = [];
  try {
    for (const start of [() => native(scratch), offloaded]) contestants.push(await start());
    const bench = new Bench(options);
    for (const contestant of contestants) await bench.warm(contestant);
    for (let round = 1; round <= options.rounds; round++) {
      for (const contestant of contestants) {
        say(`round ${round} of ${options.rounds}: ${contestant.name}`);
        await bench.round(contestant);
        await bench.chores(contestant);
      }
    }
    process.stdout.write(`${bench.print()}\n`);
  } finally {
    for (const contestant of contestants) await contestant.end();
    rmSync(scratch, { recursive: true, force: true });
  }
}
