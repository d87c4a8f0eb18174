/**
 * The fuzz driver of ffi/qtdma for as long as wanted:
 *
 *     bun test/ffi/fuzz.ts [--rounds 1000000] [--seed 42]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseArgs } from "node:util";
import { buildQtdmaTest } from "./build.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "1000000" },
    seed: { type: "string", default: "42" },
  },
});
const directory = mkdtempSync(`${tmpdir()}/qtdma-`);
try {
  buildQtdmaTest(`${directory}/qtdma`);
  const words = [`${directory}/qtdma`, "fuzz", values.rounds, values.seed];
  process.exitCode = await Bun.spawn(words, { stdio: ["ignore", "inherit", "inherit"] }).exited;
} finally {
  rmSync(directory, { recursive: true });
}
