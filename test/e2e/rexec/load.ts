/**
 * The proofs of what rexec stands, in full:
 *
 *   bun test/e2e/rexec/load.ts [--gib N] [--stop-s N] [--at-once N] [--runs N] [--tcp]
 *
 * 0 leaves one out. Ends with 1 where something was not as it should be.
 */
import { parseArgs } from "node:util";
import { atOnce, bothWays, inARow, stoppedReader } from "./proofs.ts";
import { Stage } from "./stage.ts";

const PORT = 7609;

const { values } = parseArgs({
  options: {
    gib: { type: "string", default: "4" },
    "stop-s": { type: "string", default: "10" },
    "at-once": { type: "string", default: "500" },
    runs: { type: "string", default: "10000" },
    tcp: { type: "boolean", default: false },
  },
});
const stage = values.tcp
  ? await Stage.begin(["--insecure", "--allow", "*"], `tcp://127.0.0.1:${PORT}`)
  : await Stage.begin();
const proofs: [text: string, proof: (n: number) => Promise<string>][] = [
  [values.gib, (gib) => bothWays(stage, gib * 2 ** 30)],
  [values["stop-s"], (seconds) => stoppedReader(stage, seconds)],
  [values["at-once"], (count) => atOnce(stage, count)],
  [values.runs, (count) => inARow(stage, count)],
];
try {
  for (const [text, proof] of proofs) {
    if (Number(text) > 0) console.log(await proof(Number(text)));
  }
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  await stage.end();
}
