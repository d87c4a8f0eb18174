/** A scenario on two machines against the same on one. */
import type { Random } from "../../support/random.ts";
import { random } from "../../support/random.ts";
import { generate, type Scenario } from "./generate.ts";
import { type Ground, outcome } from "./run.ts";

/**
 * How long two machines are given between two steps for what one has done to be seen on the
 * other: what differs is tried again with more.
 */
const SETTLE_MS = [4, 40, 400];

export interface Verdict {
  readonly scenario: Scenario;
  /** undefined: the same at each process. */
  readonly difference: string | undefined;
  /** How often it was carried out. */
  readonly tries: number;
}

/** Numbers of one scenario alone. */
export function randomOf(seed: number, index: number): Random {
  const numbers = random((seed ^ Math.imul(index + 1, 0x9e3779b1)) >>> 0);
  for (let i = 0; i < 8; i++) numbers.next();
  return numbers;
}

export function compare(index: number, seed: number, native: Ground, shared: Ground): Verdict {
  const scenario = generate(index, randomOf(seed, index));
  const expected = outcome(scenario, native, 0);
  let got: string[] = [];
  for (const [i, settleMs] of SETTLE_MS.entries()) {
    got = outcome(scenario, shared, settleMs);
    if (got.join("\n") === expected.join("\n")) {
      return { scenario, difference: undefined, tries: i + 1 };
    }
  }
  return { scenario, difference: explain(scenario, expected, got), tries: SETTLE_MS.length };
}

function explain({ seed, sides }: Scenario, expected: string[], got: string[]): string {
  const lines = Array.from({ length: Math.max(expected.length, got.length) }, (_, i) => {
    const [ours, theirs] = [got[i] ?? "nothing", expected[i] ?? "nothing"];
    return ours === theirs ? `  ${ours}` : `  ${ours}   (on one machine: ${theirs})`;
  });
  return [`scenario ${seed}: ${sides.map((side, i) => `${i} ${side}`).join(", ")}`, ...lines].join(
    "\n",
  );
}
