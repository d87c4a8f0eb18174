/**
 * Processes that the bench starts: bounded commands, and daemons that it finds
 * again however often they fork: by a list of those it started, by a mark in the
 * environment, and by descent.
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
} from "node:fs";

/** Environment variable whose value is `SCRATCH:STACK:SIDE` of a daemon. */
const MARK = "QTFS_BENCH";
const PAGE_KIB = 4;

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
}

/** Runs a command to its end and returns its output; fails loudly, and on time. */
export async function run(command: string[], options: RunOptions): Promise<string> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code === 0) return stdout;
  const why = child.signalCode === "SIGKILL" ? `no end within ${timeoutMs} ms` : `exit ${code}`;
  throw new Error(`${command.join(" ")}: ${why}: ${stderr.trim() || stdout.trim()}`);
}

export interface Daemon {
  readonly pid: number;
  readonly exited: Promise<number>;
  /** What it wrote to stderr and stdout. */
  log(): string;
}

/** Starts a daemon that stays in the foreground; `mark` as in MARK. */
export function startDaemon(command: string[], mark: string, logPath: string): Daemon {
  const log = openSync(logPath, "w");
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: log,
    stderr: log,
    env: { ...process.env, [MARK]: mark },
  });
  closeSync(log);
  appendFileSync(listOf(mark), `${child.pid} ${startTimeOf(child.pid)} ${mark}\n`);
  return { pid: child.pid, exited: child.exited, log: () => readFileSync(logPath, "utf8").trim() };
}

function processIds(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** A file of /proc, or nothing when the process has gone. */
function procFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}

/** Field `number` (from 3 on) of /proc/PID/stat, see proc_pid_stat(5). */
function statField(pid: number, number: number): string {
  const stat = procFile(pid, "stat");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[number - 3] ?? "";
}

const parentOf = (pid: number) => Number(statField(pid, 4));
const startTimeOf = (pid: number) => statField(pid, 22);

/** Where a run lists its daemons; a mark starts with the scratch directory. */
const listOf = (mark: string) => `${mark.slice(0, mark.indexOf(":"))}/daemons`;

/** Listed daemons that live. sshd writes over its environment, so the mark alone will not do. */
function listed(prefix: string): number[] {
  if (!existsSync(listOf(prefix))) return [];
  return readFileSync(listOf(prefix), "utf8")
    .split("\n")
    .map((line) => line.split(" ") as [string, string, string])
    .filter(([pid, start, mark]) => mark?.startsWith(prefix) && startTimeOf(Number(pid)) === start)
    .map(([pid]) => Number(pid));
}

/** Processes whose mark starts so, with all their descendants, without this one. */
export function marked(prefix: string): number[] {
  const all = processIds();
  const needle = `${MARK}=${prefix}`;
  const byEnvironment = all.filter((pid) =>
    procFile(pid, "environ")
      .split("\0")
      .some((entry) => entry.startsWith(needle)),
  );
  const found = new Set([...listed(prefix), ...byEnvironment]);
  for (let grew = true; grew; ) {
    const children = all.filter((pid) => !found.has(pid) && found.has(parentOf(pid)));
    for (const pid of children) found.add(pid);
    grew = children.length > 0;
  }
  found.delete(process.pid);
  return [...found];
}

/** Resident memory of the processes, in MiB. */
export function residentMiB(pids: number[]): number {
  const pages = pids.map((pid) => Number(procFile(pid, "statm").split(" ")[1] ?? 0));
  return pages.reduce((sum, count) => sum + count, 0) * (PAGE_KIB / 1024);
}

export function isAlive(pid: number): boolean {
  const state = statField(pid, 3);
  return state !== "" && state !== "Z";
}

/** Ends processes: SIGTERM, up to `graceMs` to obey, then SIGKILL. */
export async function end(pids: number[], graceMs: number): Promise<void> {
  signal(pids, "SIGTERM");
  const deadline = Date.now() + graceMs;
  while (pids.some(isAlive) && Date.now() < deadline) await Bun.sleep(10);
  signal(pids.filter(isAlive), "SIGKILL");
}

export function signal(pids: number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has gone by itself, which is what is wanted.
    }
  }
}
