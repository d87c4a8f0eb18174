/** A few seeded rounds of faults under load; `bun test/fault/rounds.ts --rounds 200` runs many. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Kind } from "./plan.ts";
import { describeVerdict, runRound } from "./round.ts";

const ROUNDS: [number, Kind[]][] = [
  [1, ["cuts"]],
  [2, ["cuts", "server-stops"]],
  [3, ["server-kills"]],
  [4, ["mount-kills"]],
  [5, ["cuts", "server-kills", "mount-kills"]],
  [6, ["server-kills", "mount-kills", "upgrades", "server-stops"]],
];

test.each(ROUNDS)(
  "seed %d: %p",
  async (seed, kinds) => {
    const parent = process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir();
    const directory = mkdtempSync(`${parent}/round-`);
    try {
      const verdict = await runRound({ seed, kinds, directory });
      console.log(describeVerdict(seed, verdict));
      expect(verdict.problems).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
  120_000,
);
