/** One round: a load, faults under it, and whether all is as recorded afterwards. */
import { mkdirSync } from "node:fs";
import { run } from "../e2e/support/run.ts";
import { checkErrors, checkTree } from "./check/outcome.ts";
import { describeRisk, type Risk, risks, type Strike, wasAnythingAtRisk } from "./check/risk.ts";
import { type Kind, type Plan, planOf, seedOf } from "./plan.ts";
import { Stage } from "./stage.ts";
import { strikeAll } from "./strike.ts";
import { Crew, prepareRoot } from "./workload/crew.ts";
import type { View } from "./workload/look.ts";

const LOOK = new URL("./workload/look.ts", import.meta.url).pathname;
const LOOK_MS = 30_000;
/** The load goes on for so long after the last fault. */
const AFTER_MS = 300;
/** Less than what the mount waits for a server, so that a call that fails is seen to fail. */
const STUCK_MS = 20_000;

export interface RoundOptions {
  seed: number;
  kinds: readonly Kind[];
  /** An empty directory, not below a mount. */
  directory: string;
  /** Operations that the workers leave out. */
  without?: string[];
  /** One that several rounds share; without it the round has one of its own. */
  stage?: Stage;
}

export interface Verdict {
  /** Sentences; none where all was well. */
  problems: string[];
  risks: Risk[];
  operations: number;
  plan: Plan;
  elapsedMs: number;
}

/** Opens what a plan asks for. */
export async function openStage(plan: Plan, directory: string, seed: number): Promise<Stage> {
  const options = [`cache=${plan.cache}`];
  return await Stage.open({ directory, kind: plan.transport, seed: seedOf(seed, 1), options });
}

/** Runs the round of a seed. Throws where not even a mount could be had. */
export async function runRound(options: RoundOptions): Promise<Verdict> {
  const startMs = performance.now();
  const { seed, kinds, directory } = options;
  const plan = planOf(seed, kinds);
  const stage = options.stage ?? (await openStage(plan, directory, seed));
  const problems: string[] = [];
  let all: Risk[] = [];
  let operations = 0;
  try {
    const name = `round-${seed}`;
    mkdirSync(`${stage.tree}/${name}`);
    prepareRoot(`${stage.tree}/${name}`);
    const root = `${stage.mountpoint}/${name}`;
    const crew = new Crew({
      ...{ root, scratch: `${directory}/logs`, seed: seedOf(seed, 2), stuckMs: STUCK_MS },
      words: [
        ...["--without", (options.without ?? []).join()],
        ...(kinds.includes("server-kills") ? ["--loses-orphans"] : []),
      ],
      onStuck: () => problems.push(stage.describe()),
    });
    const strikes = await underLoad(stage, crew, plan, problems);
    const steps = crew.steps();
    all = risks(strikes, steps);
    operations = steps.flat().length;
    problems.push(...crew.problems, ...checkErrors(steps));
    for (const [where, path] of [
      ["on the HOST", `${stage.tree}/${name}`],
      ["through the mount", root],
    ] as const) {
      const view = await viewOf(path);
      const lines = typeof view === "string" ? [view] : checkTree(steps, view);
      problems.push(...lines.map((line) => `${where}: ${line}`));
    }
    if (!wasAnythingAtRisk(all)) problems.push("no fault hit any operation: nothing was at risk");
  } finally {
    if (problems.length > 0) problems.push(stage.logs());
    if (options.stage === undefined) problems.push(...(await stage.close()));
  }
  return { problems, risks: all, operations, plan, elapsedMs: performance.now() - startMs };
}

/** Has the crew work while the plan is carried out, until it is over or somebody fails. */
async function underLoad(
  stage: Stage,
  crew: Crew,
  plan: Plan,
  problems: string[],
): Promise<Strike[]> {
  let strikes: Strike[] = [];
  await crew.working();
  const struck = strikeAll(stage, plan.faults).then(
    async (all) => {
      strikes = all;
      await Bun.sleep(AFTER_MS);
    },
    (error: Error) => {
      problems.push(error.message);
    },
  );
  await Promise.race([struck, crew.failed]);
  await Promise.all([struck, crew.finish()]);
  // A mount that does not answer would never let go of whoever looks at it.
  if (crew.wasStuck) stage.abort();
  return strikes;
}

/** What is below a directory, seen by a process of its own; or why there is nothing to be seen. */
async function viewOf(path: string): Promise<View | string> {
  const { code, stdout, stderr } = await run([process.execPath, LOOK, path], {
    timeoutMs: LOOK_MS,
  });
  return code === 0 ? (JSON.parse(stdout) as View) : `exit code ${code}: ${stderr.slice(-1000)}`;
}

/** A verdict for people: one line where all was well. */
export function describeVerdict(seed: number, verdict: Verdict): string {
  const { problems, risks: all, operations, plan, elapsedMs } = verdict;
  const underWay = all.reduce((sum, risk) => sum + risk.underWay, 0);
  const word = problems.length === 0 ? "ok  " : "FAIL";
  const what = `${plan.transport} cache=${plan.cache} ${all.length} faults`;
  const risk = `${underWay} of ${operations} operations at risk`;
  const line = `${word} seed ${seed}: ${what}, ${risk}, ${(elapsedMs / 1000).toFixed(1)} s`;
  if (problems.length === 0) return line;
  return [line, ...all.map((one) => `  ${describeRisk(one)}`), ...problems].join("\n");
}
