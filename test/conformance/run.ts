/**
 * Runs the conformance cases against a directory of any file system.
 *
 *   bun test/conformance/run.ts DIR [options]      (README.md; exit 1 on a failure)
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { cases } from "./cases/index.ts";
import type { Case } from "./harness/case.ts";
import { type Options, readOptions } from "./harness/options.ts";
import { Tally } from "./harness/tally.ts";
import { work } from "./harness/worker-client.ts";

function chosen(options: Options): Case[] {
  const names = new Set<string>();
  for (const { name } of cases) {
    if (names.has(name)) throw new Error(`Two cases are called ${name}`);
    names.add(name);
  }
  const only = options.only;
  return cases.filter((one) => only === undefined || one.name.includes(only));
}

/** Removes the scratch directory in a process of its own, which may hang without harm. */
async function remove(scratch: string): Promise<void> {
  const child = Bun.spawn(["rm", "-rf", "--one-file-system", scratch], { stderr: "inherit" });
  await Promise.race([child.exited, Bun.sleep(60_000)]);
  if (child.exitCode !== 0) console.error(`${scratch} could not be removed whole`);
  child.kill("SIGKILL");
}

const options = await readOptions(process.argv.slice(2));
const selected = chosen(options);
if (options.list) {
  for (const { name } of selected) console.log(name);
  process.exit(0);
}
if (process.getuid?.() !== 0) {
  console.error("The cases act as several users: run them as root");
  process.exit(2);
}

const tally = new Tally(options.limits);
const queue = selected.filter((one) => {
  const applicable = one.needs === undefined || !options.without.includes(one.needs);
  if (!applicable) tally.notApplicable(one.name);
  return applicable;
});
// Long ones first, so that no worker ends with one while the others are idle.
queue.sort((a, b) => b.boundMs - a.boundMs);

const scratch = join(options.directory, `conformance-${process.pid}`);
mkdirSync(scratch, { mode: 0o755 });
const workers = Math.min(options.jobs, Math.max(queue.length, 1));
await Promise.all(
  Array.from({ length: workers }, () => work(scratch, queue, (verdict) => tally.add(verdict))),
);
await remove(scratch);
if (options.json !== undefined) await Bun.write(options.json, tally.json());
console.log(tally.summary());
process.exit(tally.failed === 0 && tally.passed > 0 ? 0 : 1);
