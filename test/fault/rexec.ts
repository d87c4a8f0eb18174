/**
 * Seeded cuts and kills of rexec-servers, keepers, links and clients under load:
 *
 *   bun test/fault/rexec.ts [--rounds N] [--seed S] [--clients N]
 *
 * No program is started twice, no output is lost or repeated, and each program that runs is
 * one that `qtfs info` tells of. Ends with 1 if that was not so.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { describeVerdict, runRounds } from "./rexec/rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    clients: { type: "string", default: "6" },
  },
});
const [rounds, seed, clients] = [values.rounds, values.seed, values.clients].map(Number) as [
  number,
  number,
  number,
];
const directory = mkdtempSync(`${tmpdir()}/rexec-faults-`);
try {
  const verdict = await runRounds({ rounds, seed, clients, directory, say: console.log });
  for (const problem of verdict.problems) console.log(problem);
  console.log(`seed ${seed}: ${describeVerdict(verdict)}`);
  process.exitCode = verdict.problems.length === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
