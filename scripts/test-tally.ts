/** How many tests of a part passed and failed, read from what the part printed. */
import { stripVTControlCharacters } from "node:util";

export interface Counts {
  passed: number;
  failed: number;
}

/**
 * Reads a part's `output`; `exitCode` is null where a signal ended it. A part
 * that ended badly or ran nothing has at least one failure.
 */
export type Tally = (output: string, exitCode: number | null) => Counts;

/** A command that is one test: it passes by exiting with 0. */
export const byExitCode: Tally = (_output, exitCode) =>
  exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };

/** The last line that begins with `N passed, N failed`; more counts may follow. */
export const byLastLine: Tally = (output, exitCode) => {
  const found = [...output.matchAll(/^(\d+) passed, (\d+) failed\b/gm)].at(-1);
  const counts = { passed: Number(found?.[1] ?? 0), failed: Number(found?.[2] ?? 0) };
  return withVerdict(counts, exitCode);
};

/**
 * The summary of `bun test`: lines such as ` 12 pass` right above its last line
 * `Ran 12 tests across 3 files.` A skipped or unwritten test counts as failed.
 * A run that crashed has no summary; then the lines of single tests count.
 */
export const byBunTest: Tally = (output, exitCode) => {
  const lines = stripVTControlCharacters(output).split("\n");
  const end = lines.findLastIndex((line) => /^Ran \d+ tests? across \d+ files?\./.test(line));
  if (end < 0) {
    const count = (mark: string) => lines.filter((line) => line.startsWith(mark)).length;
    return { passed: count("(pass) "), failed: count("(fail) ") + 1 };
  }
  const counts = { passed: 0, failed: 0 };
  for (let i = end - 1; i >= 0; i--) {
    const [, number, word] = /^\s+(\d+) (\S+)/.exec(lines[i] ?? "") ?? [];
    if (number === undefined) break;
    if (word === "pass") counts.passed += Number(number);
    if (/^(fail|skip|todo|errors?)$/.test(word ?? "")) counts.failed += Number(number);
  }
  return withVerdict(counts, exitCode);
};

function withVerdict({ passed, failed }: Counts, exitCode: number | null): Counts {
  const endedBadly = exitCode !== 0 && failed === 0;
  const ranNothing = passed + failed === 0;
  return { passed, failed: endedBadly || ranNothing ? failed + 1 : failed };
}
