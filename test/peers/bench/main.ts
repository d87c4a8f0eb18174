/** Entry of scripts/bench. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { benchLinks } from "../links/main.ts";
import { benchOffload } from "../offload/main.ts";
import { benchRexec } from "../rexec/main.ts";
import { benchSockets } from "../sockets/main.ts";
import { benchSupervisor } from "../supervisor/main.ts";
import { allContestants, choose } from "./contestants/index.ts";
import type { Contestant } from "./contestants/types.ts";
import { Measurement, type Plan } from "./measure.ts";
import { type Options, parseOptions, USAGE } from "./options.ts";
import { Pool } from "./pool.ts";
import { buildHelpers, checkPossible, installPackages } from "./prerequisites.ts";
import { machine, toJson } from "./report.ts";
import { Results } from "./results.ts";
import { freshScenarios } from "./rows/fresh.ts";
import { loadScenarios } from "./rows/loads.ts";
import type { Row } from "./rows/types.ts";
import { untarScenarios } from "./rows/untar.ts";
import { cleanStale, Scratch } from "./scratch.ts";
import { memoryTable, rowTable, sshfsTable } from "./table.ts";
import { makeArchives, makeTemplate } from "./tree.ts";

/** Those of other things than files, by their names. */
const BENCHES: ReadonlyMap<string, (argv: string[]) => Promise<void>> = new Map([
  ["sockets", benchSockets],
  ["rexec", benchRexec],
  ["offload", benchOffload],
  ["supervisor", benchSupervisor],
  ["links", () => benchLinks()],
]);

/** The exit code of a program that a signal ended, as shells have it. */
const INTERRUPTED = 130;
/** An interrupted run must be cleaned up within this time. */
const END_MS = 30_000;

const say = (line: string) => process.stderr.write(`bench: ${line}\n`);

/** Scenarios that have a wanted row; a scenario that measures several is run as a whole. */
function planFor(pattern: RegExp): Plan {
  const wanted = ({ rows }: { rows: Row[] }) => rows.some((row) => pattern.test(row.id));
  const plan = {
    fresh: freshScenarios.filter(wanted),
    steady: [...loadScenarios, ...untarScenarios].filter(wanted),
  };
  if (plan.fresh.length + plan.steady.length === 0) {
    throw new Error(`No row matches --rows ${pattern.source}`);
  }
  return plan;
}

async function measure(
  options: Options,
  contestants: Contestant[],
  scratch: Scratch,
  interrupted: AbortSignal,
): Promise<Results> {
  const template = scratch.directory("template");
  say(`making the tree in ${scratch.path}`);
  await makeTemplate(template, options.effort.files);
  await makeArchives(template, scratch.path);
  const pool = new Pool();
  const results = new Results(contestants);
  try {
    const ground = { scratch, template, pool, interrupted };
    await new Measurement(ground, options.effort, results, say).run(planFor(options.rows));
  } finally {
    pool.terminate();
  }
  return results;
}

function print(results: Results, options: Options): void {
  const { kernel, cpu, cpus, loadAverage } = machine();
  const { rounds, measureMs, files } = options.effort;
  const parts = [
    ["", rowTable(results)],
    ["Every sshfs:\n", sshfsTable(results)],
    ["Resident memory of the default mounts, MiB:\n", memoryTable(results)],
    ["Failures:\n", results.errors(["qtfs", "bare", "sshfs", "sftp", "floor"]).join("\n")],
  ];
  process.stdout.write(
    [
      `${cpus} × ${cpu}, kernel ${kernel}, load average ${loadAverage.toFixed(2)}`,
      `medians of ${rounds} rounds, ${measureMs} ms a cell; untar and git status: ${files} files`,
      ...parts.filter(([, text]) => text !== "").map(([head, text]) => `\n${head}${text}`),
      "",
    ].join("\n"),
  );
}

/** Lets signals end the run early; the signal that it gives makes the run stop and clean up. */
function stopOnSignals(scratch: Scratch): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) return;
    controller.abort(new Error("interrupted"));
    scratch.halt();
    setTimeout(() => {
      say(`cannot end in order; the next run cleans up ${scratch.path}`);
      process.exit(INTERRUPTED);
    }, END_MS).unref();
  };
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  return controller.signal;
}

/** Returns the exit code. */
async function bench(options: Options): Promise<number> {
  const started = new Date();
  planFor(options.rows);
  const names = allContestants({ ...options, nullfs: "", inetd: "" });
  checkPossible(choose(names, options.only), options.qtfs);
  await installPackages();
  await cleanStale(options.directory);
  const scratch = new Scratch(options.directory);
  const interruption = stopOnSignals(scratch);
  try {
    const helpers = await buildHelpers(scratch.path);
    const all = allContestants({ ...helpers, ...options });
    const contestants = choose(all, options.only);
    const results = await measure(options, contestants, scratch, interruption);
    print(results, options);
    mkdirSync(dirname(options.json), { recursive: true });
    writeFileSync(options.json, toJson(results, options, started));
    say(`figures in ${options.json}`);
    // One sshfs in trouble leaves the others to compare with.
    return results.errors(["qtfs", "bare", "floor"]).length > 0 ? 1 : 0;
  } catch (error) {
    if (!interruption.aborted) throw error;
    say("interrupted");
    return INTERRUPTED;
  } finally {
    await scratch.clean();
  }
}

try {
  const [first, ...rest] = process.argv.slice(2);
  const special = BENCHES.get(first ?? "");
  const options = special === undefined ? parseOptions(process.argv.slice(2)) : undefined;
  if (options === undefined) await special?.(rest);
  else if (options.help) process.stdout.write(USAGE);
  else process.exitCode = await bench(options);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
process.exit();
