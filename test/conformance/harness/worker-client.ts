/** The runner's side of a worker: hands out cases, and kills a worker that is stuck. */
import { join } from "node:path";
import type { Verdict } from "../worker.ts";
import type { Case } from "./case.ts";
import { lines } from "./codec.ts";

const WORKER = join(import.meta.dir, "../worker.ts");

interface Process {
  child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  answers: AsyncGenerator<string>;
}

function start(scratch: string): Process {
  const child = Bun.spawn([process.execPath, WORKER, scratch], {
    cwd: "/",
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  return { child, answers: lines(child.stdout) };
}

/** Runs cases of `queue` until it is empty, in one process after another if need be. */
export async function work(
  scratch: string,
  queue: Case[],
  report: (verdict: Verdict) => void,
): Promise<void> {
  let worker = start(scratch);
  for (let one = queue.shift(); one !== undefined; one = queue.shift()) {
    const verdict = await ask(worker, one);
    report(verdict);
    if (verdict.lost) worker = start(scratch);
  }
  worker.child.stdin.end();
  await Promise.race([worker.child.exited, Bun.sleep(5000)]);
  worker.child.kill("SIGKILL");
}

/** One verdict; `lost` when the worker is not usable afterwards. */
async function ask(worker: Process, one: Case): Promise<Verdict & { lost?: boolean }> {
  worker.child.stdin.write(`${one.name}\n`);
  worker.child.stdin.flush();
  const late = Promise.withResolvers<"late">();
  const timer = setTimeout(() => late.resolve("late"), one.boundMs);
  const answer = await Promise.race([worker.answers.next(), late.promise]);
  clearTimeout(timer);
  if (answer === "late") {
    // Not waited for: a process in an uninterruptible wait may never go.
    worker.child.kill("SIGKILL");
    return { name: one.name, message: `stuck: no end after ${one.boundMs} ms`, lost: true };
  }
  if (answer.done) {
    await worker.child.exited;
    const how = worker.child.signalCode ?? `exit code ${worker.child.exitCode}`;
    return { name: one.name, message: `the worker ended: ${how}`, lost: true };
  }
  return JSON.parse(answer.value) as Verdict;
}
