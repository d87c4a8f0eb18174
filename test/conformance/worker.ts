/**
 * A worker: runs cases, one at a time, as run.ts names them.
 *
 *   bun worker.ts SCRATCH
 *
 * Names of cases come on standard input, one a line; each gets one line of
 * JSON on standard output. A worker that does not answer in time is killed by
 * run.ts, and its actors die with it.
 */
import { cases } from "./cases/index.ts";
import type { Case } from "./harness/case.ts";
import { forgetCase, removeTree } from "./harness/clean.ts";
import { lines } from "./harness/codec.ts";
import { ActorPool, Context } from "./harness/context.ts";
import { keep } from "./posix/descriptors.ts";
import * as posix from "./posix/index.ts";

/** What a worker says of a case; no message means that it passed. */
export interface Verdict {
  name: string;
  message?: string;
}

const path = process.argv[2] ?? "";
posix.dieWithParent();
posix.umask(0o022);
const scratch = keep(posix.open(path, posix.O_RDONLY | posix.O_DIRECTORY));
const pool = new ActorPool(path);
let count = 0;
let stray: unknown;

process.on("unhandledRejection", (reason) => {
  stray ??= reason;
});

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Runs one step and keeps the first reason of a failure. */
async function attempt(reasons: string[], step: () => unknown): Promise<void> {
  try {
    await step();
  } catch (error) {
    reasons.push(reasonOf(error));
  }
}

async function judge(one: Case): Promise<Verdict> {
  const name = `${process.pid}-${count++}`;
  const reasons: string[] = [];
  stray = undefined;
  posix.fchdir(scratch);
  posix.mkdir(name, 0o755);
  posix.chdir(name);
  await attempt(reasons, () => one.run(new Context(pool, path, name)));
  await attempt(reasons, async () => {
    const complaint = await pool.takeBack();
    if (complaint !== undefined) throw new Error(complaint);
  });
  if (stray !== undefined) reasons.push(reasonOf(stray));
  forgetCase(scratch);
  await attempt(reasons, () => removeTree(name));
  const message = reasons[0];
  return message === undefined ? { name: one.name } : { name: one.name, message };
}

const byName = new Map(cases.map((one) => [one.name, one]));
for await (const name of lines(Bun.stdin.stream())) {
  const one = byName.get(name);
  const verdict: Verdict = one === undefined ? { name, message: "No such case" } : await judge(one);
  process.stdout.write(`${JSON.stringify(verdict)}\n`);
}
process.exit(0);
