/** Entry of scripts/bench. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
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
): Promise<Results> {
  const template = scratch.directory("template");
  say(`making the tree in ${scratch.path}`);
  await makeTemplate(template, options.effort.files);
  await makeArchives(template, scratch.path);
  const pool = new Pool();
  const results = new Results(contestants);
  try {
    const ground = { scratch, template, pool };
    await new Measurement(ground, options.effort, results, say).run(planFor(options.rows));
  } finally {
    pool.terminate();
  }
  return results;
}

function print(results: Results, options: Options): void {
  const { kernel, cpu, cpus, loadAverage } = machine();
  const { rounds, measureMs, files } = options.effort;
  process.stdout.write(
    [
      `${cpus} × ${cpu}, kernel ${kernel}, load average ${loadAverage.toFixed(2)}`,
      `medians of ${rounds} rounds, ${measureMs} ms a cell; untar and git status: ${files} files`,
      "",
      rowTable(results),
      "",
      sshfsTable(results),
      "",
      "Resident memory of the default mounts, MiB",
      memoryTable(results),
      "",
    ].join("\n"),
  );
}

/** Returns the exit code. */
async function bench(options: Options): Promise<number> {
  const started = new Date();
  planFor(options.rows);
  checkPossible(choose(allContestants({ nullfs: "", inetd: "" }), options.only));
  await installPackages();
  await cleanStale(options.directory);
  const scratch = new Scratch(options.directory);
  let cleaned: Promise<void> | undefined;
  const clean = () => {
    cleaned ??= scratch.clean();
    return cleaned;
  };
  const stop = async () => {
    say("interrupted, cleaning up");
    await clean();
    process.exit(130);
  };
  process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
  try {
    const helpers = await buildHelpers(scratch.path);
    const contestants = choose(allContestants(helpers), options.only);
    const results = await measure(options, contestants, scratch);
    print(results, options);
    mkdirSync(dirname(options.json), { recursive: true });
    writeFileSync(options.json, toJson(results, options, started));
    say(`figures in ${options.json}`);
    return results.errors().length > 0 ? 1 : 0;
  } finally {
    await clean();
  }
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(USAGE);
  else process.exitCode = await bench(options);
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
process.exit();
