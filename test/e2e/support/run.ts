/** Runs programs the way a user's shell would, each within a time limit. */

export interface RunOptions {
  cwd?: string;
  /** Added to the environment of the tests. */
  env?: Record<string, string>;
  /** Runs as this user and group (numbers), without supplementary groups. */
  uid?: number;
  timeoutMs?: number;
}

export interface Result {
  /** The exit code; 124 or 137 where the time was up. */
  code: number;
  stdout: string;
  stderr: string;
}

const TIMEOUT_MS = 120_000;

/** Runs `command` to its end and reports how it went. */
export async function run(command: string[], options: RunOptions = {}): Promise<Result> {
  const { uid, timeoutMs = TIMEOUT_MS } = options;
  const asUser =
    uid === undefined
      ? []
      : ["setpriv", "--reuid", `${uid}`, "--regid", `${uid}`, "--clear-groups"];
  const limit = ["timeout", "-k", "5", `${timeoutMs / 1000}`];
  const child = Bun.spawn([...limit, ...asUser, ...command], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, LC_ALL: "C.UTF-8", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** Runs a bash script that must succeed, every line of it; returns what it printed. */
export async function sh(script: string, options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(["bash", "-euo", "pipefail", "-c", script], options);
  if (code !== 0) {
    const printed = `${stdout}${stderr}`.slice(-3000);
    throw new Error(`exit code ${code} of\n${script.trim()}\n${printed}`);
  }
  return stdout;
}
