/**
 * Seeded rounds of faults under load:
 *
 *   bun test/fault/rounds.ts [--rounds N] [--seed S] [--kinds KIND,KIND…] [--shared]
 *     [--without OP,OP…] [--verbose] [--keep]
 *
 * The seed of each round is printed; `--rounds 1 --seed S` runs it again. With
 * --shared all rounds use one mount, without it each makes its own. Directories of
 * rounds that failed are kept with --keep. Exit code 1 if a round failed.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeRisk } from "./check/risk.ts";
import { KINDS, type Kind, planOf } from "./plan.ts";
import { describeVerdict, openStage, runRound } from "./round.ts";
import type { Stage } from "./stage.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    kinds: { type: "string", default: KINDS.join(",") },
    without: { type: "string", default: "" },
    shared: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
  },
});
const kinds = values.kinds.split(",").map((name) => {
  const kind = KINDS.find((one) => one === name);
  if (kind === undefined) throw new Error(`No kind ${name}; there are ${KINDS.join(", ")}`);
  return kind;
});
const scratch = mkdtempSync("/var/tmp/qtfs-rounds.");
const first = Number(values.seed);
let failed = 0;
let stage: Stage | undefined;
for (let seed = first; seed < first + Number(values.rounds); seed++) {
  if (!(await round(seed, kinds))) failed++;
}
const left = (await stage?.close()) ?? [];
console.log(`${values.rounds} rounds, ${failed} failed`, ...left);
if (failed === 0 || !values.keep) rmSync(scratch, { recursive: true, force: true });
else console.log(`kept: ${scratch}`);
process.exit(failed === 0 && left.length === 0 ? 0 : 1);

/** Runs a round and says how it went; true where it went well. */
async function round(seed: number, chosen: Kind[]): Promise<boolean> {
  const directory = `${scratch}/${seed}`;
  mkdirSync(directory);
  let text: string;
  let isWell = false;
  try {
    if (values.shared && stage === undefined) {
      mkdirSync(`${directory}/stage`);
      stage = await openStage(planOf(seed, chosen), `${directory}/stage`, seed);
    }
    const without = values.without.split(",");
    const options = { seed, kinds: chosen, directory, without };
    const verdict = await runRound({ ...options, ...(stage && { stage }) });
    isWell = verdict.problems.length === 0;
    text = describeVerdict(seed, verdict);
    if (isWell && values.verbose) text = [text, ...verdict.risks.map(describeRisk)].join("\n  ");
  } catch (error) {
    text = `FAIL seed ${seed}: ${(error as Error).stack}`;
  }
  console.log(text);
  if (isWell && !values.shared) rmSync(directory, { recursive: true });
  return isWell;
}
