/**
 * A daemon in the background that says whether it got there. It is this very
 * program, started anew (a process with threads cannot be forked) in a session
 * of its own. Its standard output is the pipe it reports through, once: that ends
 * when the daemon is ready, or has ended. Until then what it and its libraries
 * print on standard error is kept, for the case that it fails.
 */
import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { dupOver } from "../sys/process.ts";

/** What the daemon says on standard output, as JSON. */
export type Outcome = { ready: true; warnings: string[] } | { error: string };

/** How this program is started: an executable of `bun build --compile`, or bun with a script. */
export function ownCommand(): string[] {
  return Bun.main.startsWith("/$bunfs/") ? [process.execPath] : [process.execPath, Bun.main];
}

/**
 * Starts `qtfs ARGS…` and waits until it has reported, `boundMs` at most.
 * Returns its warnings; throws its sentence if it failed. `logFd`, if given,
 * becomes its standard error.
 */
export async function startInBackground(
  args: readonly string[],
  logFd: number | undefined,
  boundMs: number,
): Promise<string[]> {
  const child = Bun.spawn([...ownCommand(), ...args], {
    argv0: "qtfs",
    cwd: "/",
    detached: true,
    stdio: ["ignore", "pipe", logFd ?? "pipe"],
  });
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  process.on("SIGINT", passOn).on("SIGTERM", passOn);
  let isLate = false;
  const bound = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, boundMs);
  const [said, noise] = await Promise.all([
    new Response(child.stdout).text(),
    child.stderr instanceof ReadableStream ? new Response(child.stderr).text() : "",
  ]);
  clearTimeout(bound);
  process.off("SIGINT", passOn).off("SIGTERM", passOn);
  const outcome = parse(said);
  if (outcome !== undefined && "ready" in outcome) {
    child.unref();
    return outcome.warnings;
  }
  process.stderr.write(noise);
  if (outcome !== undefined) throw new Error(outcome.error);
  if (isLate) throw new Error(`The background process was not ready after ${boundMs / 1000} s`);
  const code = await child.exited;
  const how = child.signalCode ?? `exit code ${code}`;
  throw new Error(`The background process ended before it was ready (${how})`);
}

function parse(said: string): Outcome | undefined {
  try {
    return JSON.parse(said) as Outcome;
  } catch {
    return undefined;
  }
}

/** In the daemon: reports to whoever waits in startInBackground, and lets it go. */
export function reportOutcome(outcome: Outcome): void {
  writeSync(1, JSON.stringify(outcome));
  const nowhere = openSync("/dev/null", "w");
  dupOver(nowhere, 1);
  const stderr = fstatSync(2);
  if (stderr.isSocket() || stderr.isFIFO()) dupOver(nowhere, 2);
  closeSync(nowhere);
}
