/** A few seeded cuts and kills for rexec; `bun test/fault/rexec.ts --rounds 100` does many. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { describeVerdict, runRounds } from "./rexec/rounds.ts";

test("12 rounds", async () => {
  const seed = 1;
  const directory = mkdtempSync(`${tmpdir()}/rexec-faults-`);
  try {
    const verdict = await runRounds({ rounds: 12, seed, directory, clients: 4 });
    console.log(describeVerdict(verdict));
    expect(verdict.problems).toEqual([]);
    expect(verdict.done).toBeGreaterThan(0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 100_000);
