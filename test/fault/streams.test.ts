/** A few seeded kills and cuts under connections and FIFOs; `bun test/fault/streams.ts --rounds 50` does many. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { describeVerdict, runRounds } from "./streams/rounds.ts";

test("8 rounds", async () => {
  const directory = mkdtempSync("/var/tmp/stream-faults-");
  try {
    const verdict = await runRounds({ rounds: 8, seed: 1, directory, kind: "tcp" });
    console.log(describeVerdict(verdict));
    expect(verdict.problems).toEqual([]);
    expect(verdict.whole).toBeGreaterThanOrEqual(10);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}, 120_000);
