/**
 * Seeded kills of the server, cuts and kills of the mount's process under connections and FIFOs:
 *
 *   bun test/fault/streams.ts [--rounds N] [--seed S] [--kind unix|tcp]
 *
 * No byte is lost or comes twice, and no connection ends. Ends with 1 if that was not so.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeVerdict, runRounds } from "./streams/rounds.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    kind: { type: "string", default: "unix" },
  },
});
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
const kind = values.kind === "tcp" ? "tcp" : "unix";
const directory = mkdtempSync("/var/tmp/stream-faults-");
let code = 1;
try {
  const verdict = await runRounds({ rounds, seed, kind, directory, say: console.log });
  for (const problem of verdict.problems) console.log(problem);
  console.log(`seed ${seed}: ${describeVerdict(verdict)}`);
  code = verdict.problems.length === 0 ? 0 : 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
// Bounds of waits that are over would keep it alive.
process.exit(code);
