/** `scripts/test`: chooses the parts, runs them side by side, adds up. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { type Outcome, runPart } from "./test-part.ts";
import { allParts, BUILD, type Part } from "./test-parts.ts";

/** CI allows 25 minutes; what still runs then has failed. */
const WHOLE_RUN_MS = 24 * 60_000;
const LOGS = ".cache/test";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { jobs: { type: "string" } },
});
const jobs = Number(values.jobs ?? Math.max(2, availableParallelism()));
if (!(jobs >= 1)) usage(`--jobs takes a number from 1 on, not ${values.jobs}`);
const parts = choose([BUILD, ...allParts()], positionals);

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort());
const deadline = AbortSignal.any([stop.signal, AbortSignal.timeout(WHOLE_RUN_MS)]);

mkdirSync(LOGS, { recursive: true });
// Not /tmp: it may be a tmpfs, and the tests compare with a file system on a disk.
const scratch = mkdtempSync("/var/tmp/qtfs-test.");
chmodSync(scratch, 0o755);
const outcomes: Outcome[] = [];
try {
  await runAll(parts);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exit(summarize() ? 0 : 1);

/**
 * The parts that `names` (groups or parts) stand for, all without names; the build if one needs it.
 * Long parts are among those only that have a folder's name, not a group's: `e2e/offload/guests`.
 */
function choose(all: Part[], names: string[]): Part[] {
  const matches = (part: Part, name: string) =>
    part.name === name ||
    (part.name.startsWith(`${name}/`) && (part.isLong !== true || name.includes("/")));
  const unknown = names.find((name) => !all.some((part) => matches(part, name)));
  if (unknown !== undefined) {
    usage(`no part or group is named ${unknown}; there are:`, ...all.map(({ name }) => name));
  }
  const named = all.filter((part) => names.some((name) => matches(part, name)));
  const chosen = names.length === 0 ? all.filter(({ isLong }) => isLong !== true) : named;
  return chosen.some((part) => part.needsBuild) ? [...new Set([BUILD, ...chosen])] : chosen;
}

function usage(...lines: string[]): never {
  console.error(lines.join("\n"));
  process.exit(2);
}

async function runAll(chosen: Part[]): Promise<void> {
  console.log(`test: ${chosen.length} parts, ${jobs} at once, logs in ${LOGS}/`);
  if (chosen.includes(BUILD)) await runOne(BUILD);
  const rest = chosen.filter((part) => part !== BUILD).values();
  const worker = async () => {
    for (const part of rest) await runOne(part);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
}

async function runOne(part: Part): Promise<void> {
  const log = `${LOGS}/${part.name.replaceAll("/", "-")}.log`;
  const outcome = await runPart(part, scratch, log, deadline);
  outcomes.push(outcome);
  const { passed, failed, elapsedMs, remarks } = outcome;
  const verdict = failed === 0 ? "ok  " : "FAIL";
  const seconds = (elapsedMs / 1000).toFixed(1).padStart(6);
  const counts = `${String(passed).padStart(5)} passed ${String(failed).padStart(3)} failed`;
  console.log([verdict, seconds, "s", counts, "", part.name, ...remarks].join(" "));
}

/** Prints why parts failed and the sum; true when nothing failed. */
function summarize(): boolean {
  for (const { part, log } of outcomes.filter((outcome) => outcome.failed > 0)) {
    console.log(`\n--- ${part.name}: ${log}`);
    for (const line of telling(readFileSync(log, "utf8"))) console.log(line);
  }
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  console.log(`\n${passed} passed, ${failed} failed`);
  return failed === 0;
}

/** The lines of a failed part's log that name failures, and its end. */
function telling(log: string): string[] {
  const lines = log.trimEnd().split("\n");
  const isFailure = (line: string) => /^\(fail\)|^(not ok|FAIL)\b/.test(line);
  const failures = [...new Set(lines.filter(isFailure))].slice(0, 20);
  const end = lines.filter((line) => !isFailure(line) && !line.startsWith("(pass)")).slice(-15);
  return [...failures, ...end].map((line) => line.slice(0, 300));
}
