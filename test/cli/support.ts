/** Runs `qtfs` from the sources as a user's shell would. */
import { afterAll } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;

const TIMEOUT_MS = 30_000;

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  argv0?: string;
  cwd?: string;
  env?: Record<string, string>;
}

/** Runs `qtfs WORDS…` to its end. With `argv0` it is called by that name. */
export async function qtfs(words: string[], options: RunOptions = {}): Promise<Result> {
  const { argv0, cwd, env } = options;
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: TIMEOUT_MS,
    // Not SIGTERM, at which a daemon that hangs would end as if all were well.
    killSignal: "SIGKILL",
    env: { ...process.env, ...env },
    ...(argv0 !== undefined && { argv0 }),
    ...(cwd !== undefined && { cwd }),
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited.then(() => child.exitCode), stdout, stderr };
}

/** A directory that is removed when the test file has run. */
export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "qtfs-cli-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Running {
  pid: number;
  /** Waits until it has printed `text` on stderr; throws if it ends before. */
  says(text: string): Promise<void>;
  /** Sends a signal and returns the exit code. */
  end(signal?: NodeJS.Signals): Promise<number | null>;
  log(): string;
}

/** Starts `qtfs WORDS…` and leaves it running, its stderr in `log`. */
export function start(words: string[], log: string, env: Record<string, string> = {}): Running {
  writeFileSync(log, "");
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    stdio: ["ignore", "ignore", Bun.file(log)],
    env: { ...process.env, ...env },
  });
  process.on("exit", () => child.kill("SIGKILL"));
  const read = () => readFileSync(log, "utf8");
  const says = async (text: string) => {
    while (!read().includes(text)) {
      if (child.exitCode !== null) throw new Error(`qtfs ended with ${child.exitCode}:\n${read()}`);
      await Bun.sleep(10);
    }
  };
  const end = async (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
    await child.exited;
    return child.exitCode;
  };
  return { pid: child.pid, says, end, log: read };
}

/** Waits until `isTrue`; a test that waits in vain ends by its timeout. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(10);
}
