/** Runs one part: its own directory, log and time limit, and nothing left behind. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, chmodSync, closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import {
  describeProcesses,
  detachMounts,
  MARK,
  mountsBelow,
  processesOf,
} from "./test-leftovers.ts";
import type { Part } from "./test-parts.ts";
import type { Counts } from "./test-tally.ts";

export interface Outcome extends Counts {
  part: Part;
  /** Sentences on what went wrong beside the tests themselves. */
  remarks: string[];
  elapsedMs: number;
  log: string;
}

/** How long daemons of a finished part may take to end by themselves. */
const GRACE_MS = 5000;

/**
 * Runs `part` below `scratch` (a directory on a real file system) with its
 * output in `log`; an abort of `deadline` ends it early. Never throws.
 */
export async function runPart(
  part: Part,
  scratch: string,
  log: string,
  deadline: AbortSignal,
): Promise<Outcome> {
  const startMs = performance.now();
  const directory = `${scratch}/${part.name.replaceAll("/", "-")}`;
  mkdirSync(directory);
  // Tests run programs as other users, who must get through.
  chmodSync(directory, 0o755);
  const output = openSync(log, "w");
  const [command = "", ...args] = part.command.map((word) => word.replace("{TMPDIR}", directory));
  const child = spawn(command, args, {
    stdio: ["ignore", output, output],
    env: { ...process.env, TMPDIR: directory, [MARK]: directory, LC_ALL: "C.UTF-8" },
    // A process group of its own, so that the whole of it can be ended.
    detached: true,
  });
  closeSync(output);
  const remarks: string[] = [];
  const exitCode = await ended(child, part, directory, deadline, remarks);
  const counts = part.tally(readFileSync(log, "utf8"), exitCode);
  remarks.push(...(await cleanUp(directory)));
  if (remarks.length > 0) counts.failed = Math.max(counts.failed, 1);
  for (const remark of remarks) appendFileSync(log, `\n${remark}\n`);
  return { part, ...counts, remarks, elapsedMs: performance.now() - startMs, log };
}

/** Waits for the child, ending it when its time is up; null where a signal ended it. */
function ended(
  child: ChildProcess,
  part: Part,
  directory: string,
  deadline: AbortSignal,
  remarks: string[],
): Promise<number | null> {
  const limit = AbortSignal.any([deadline, AbortSignal.timeout(part.timeoutMs)]);
  const kill = () => {
    const why = deadline.aborted ? "the whole run was ended" : `${part.timeoutMs / 1000} s were up`;
    remarks.push(`killed: ${why}`);
    if (child.pid !== undefined) killQuietly(-child.pid);
    // A process that waits for a file system that does not answer ends only with its mount.
    detachMounts(directory);
  };
  if (limit.aborted) kill();
  limit.addEventListener("abort", kill);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      remarks.push(`did not start: ${error.message}`);
      resolve(null);
    });
    child.on("exit", (code) => {
      limit.removeEventListener("abort", kill);
      resolve(code);
    });
  });
}

/** Removes all that is left of a part; what should not have been there is named. */
async function cleanUp(directory: string): Promise<string[]> {
  const remarks: string[] = [];
  const mounts = mountsBelow(directory);
  if (mounts.length > 0) remarks.push(`left mounted: ${mounts.join(" ")}`);
  detachMounts(directory);
  const endMs = performance.now() + GRACE_MS;
  let processes = processesOf(directory);
  while (processes.length > 0 && performance.now() < endMs) {
    await Bun.sleep(100);
    processes = processesOf(directory);
  }
  if (processes.length > 0) remarks.push(`left running: ${describeProcesses(processes)}`);
  for (const pid of processes) killQuietly(pid);
  await rm(directory, { recursive: true, force: true }).catch((error: Error) => {
    remarks.push(`could not be removed: ${error.message}`);
  });
  return remarks;
}

/** Sends SIGKILL to a process or (negative) a group that may be gone already. */
function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended first.
  }
}
