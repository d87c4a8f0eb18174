/** Processes that make one system call each on a mount: caller.c, driven from a test. */
import { readdirSync, readFileSync } from "node:fs";
import { sh } from "../support/run.ts";

/** How long a prepared process may take to say so, and a call to be under way. */
const READY_MS = 20_000;
const UNDER_WAY_MS = 300;
/** How long the threads of a process may take to stop. */
const STOP_MS = 10_000;

/** Builds caller.c into `directory`; the path of the program. */
export async function buildCaller(directory: string): Promise<string> {
  const program = `${directory}/caller`;
  await sh(`cc -std=gnu11 -O1 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/caller.c`);
  return program;
}

/** Waits until `condition` holds, `boundMs` at most; throws what never happened. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  what: string,
  boundMs: number,
): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!(await condition())) {
    if (performance.now() > endMs) throw new Error(`It never happened in ${boundMs} ms: ${what}`);
    await Bun.sleep(10);
  }
}

/** Stops a process, and waits until all of its threads are: the last one may serve a call meanwhile. */
export async function stop(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  const tasks = `/proc/${pid}/task`;
  const isStopped = () => readdirSync(tasks).every((tid) => stateAt(`${tasks}/${tid}`) === "T");
  await eventually(isStopped, `process ${pid} is stopped`, STOP_MS);
}

/** Letter of the state in /proc/PID/stat; undefined where there is no such process. */
export function stateOf(pid: number): string | undefined {
  return stateAt(`/proc/${pid}`);
}

/** The same of a process or thread, by its directory in /proc. */
function stateAt(directory: string): string | undefined {
  try {
    const stat = readFileSync(`${directory}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2)[0];
  } catch {
    return undefined;
  }
}

/** Whether the process is gone, or is a zombie whose parent has yet to be told. */
export function isGone(pid: number): boolean {
  return "ZX".includes(stateOf(pid) ?? "X");
}

export class Caller {
  readonly pid: number;
  readonly operation: string;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #said = "";

  constructor(program: string, operation: string, path: string) {
    this.operation = operation;
    this.#child = Bun.spawn([program, operation, path], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.pid = this.#child.pid;
    this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const chunk of this.#child.stdout) this.#said += Buffer.from(chunk).toString();
  }

  /** Waits until it is prepared. */
  async ready(): Promise<this> {
    const what = `${this.operation} is prepared`;
    await eventually(() => this.#said.includes("ready") || this.gone, what, READY_MS);
    if (!this.#said.includes("ready")) throw new Error(`${this.operation} could not be prepared`);
    return this;
  }

  /** Has it make its call. */
  go(): void {
    this.#child.stdin.write("g");
    this.#child.stdin.flush();
  }

  /** Has it make its call, which is then expected to wait. */
  async block(): Promise<void> {
    this.go();
    await Bun.sleep(UNDER_WAY_MS);
    if (this.finished) throw new Error(`${this.operation} did not wait: ${this.#said}`);
  }

  /** Whether its call has returned, or the process has ended. */
  get finished(): boolean {
    return this.#said.includes("done") || this.gone;
  }

  get gone(): boolean {
    return isGone(this.pid);
  }

  /** errno of its call (0: success); waits for it. */
  async errno(boundMs: number): Promise<number> {
    await eventually(() => this.#said.includes("done"), `${this.operation} returns`, boundMs);
    return Number(/done (\d+)/.exec(this.#said)?.[1]);
  }

  /** Kills it; resolves when it has nothing open any more. */
  async end(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Lets it exit by itself, closing what it has open. */
  letGo(): void {
    this.#child.stdin.end();
  }
}
