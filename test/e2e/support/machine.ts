/**
 * A machine of a test: processes with mounts, process numbers, network, host name, IPC and
 * terminals of their own on this machine's kernel.
 */
import { WITHOUT_OTHERS } from "./apart.ts";
import { Groups } from "./cgroups.ts";
import { childrenOf, Program, until } from "./program.ts";
import { type Result, type RunOptions, run } from "./run.ts";

const TIMEOUT_MS = 60_000;
/** Between the end of the time of a program and that of whoever waits for it. */
const GRACE_MS = 10_000;

const SPACES = ["--mount", "--pid", "--net", "--uts", "--ipc"];

/** The first process, to whom orphans come: it ends, and all others with it, when its stdin ends. */
const INIT = `
exec 2>&1
hostname $0
ip link set lo up
eval "$1"
mount -t tmpfs -o mode=755 tmpfs /run
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts /dev/pts
[ -L /dev/ptmx ] || mount --bind /dev/pts/ptmx /dev/ptmx
mkdir -m 1777 /run/lock
echo started
read || :
`;

export interface MachineOptions {
  /** With control groups of its own, as root of each hierarchy. */
  cgroups?: boolean;
  /** Lines for its first process's shell, before all else. */
  script?: string;
}

let serial = 0;

export class Machine {
  readonly name: string;
  readonly #groups: Groups | undefined;
  /** unshare, whose only child is the first process. */
  readonly #outer: Bun.Subprocess<"pipe", "pipe", "ignore">;
  #init = 0;
  /** That were started and may run still. */
  readonly #programs = new Set<Program>();

  private constructor(name: string, { cgroups = false, script = "" }: MachineOptions) {
    this.name = name;
    const groups = cgroups ? new Groups(`qtfs-${name}-${process.pid}-${serial++}`) : undefined;
    this.#groups = groups;
    const spaces = [...SPACES, ...(cgroups ? ["--cgroup"] : [])];
    const first = `${groups?.mountScript ?? ""}\n${script}`;
    const options = ["--fork", "--kill-child", "--mount-proc", "--propagation", "private"];
    this.#outer = Bun.spawn(
      [
        ...(groups?.join ?? []),
        ...["unshare", ...spaces, ...options, ...WITHOUT_OTHERS],
        ...["bash", "-euc", INIT, name, first],
      ],
      {
        stdio: ["pipe", "pipe", "ignore"],
      },
    );
  }

  static async start(name: string, options: MachineOptions = {}): Promise<Machine> {
    const machine = new Machine(name, options);
    let said = "";
    for await (const chunk of machine.#outer.stdout) {
      said += Buffer.from(chunk).toString();
      if (said.includes("started\n")) break;
    }
    machine.#init = childrenOf(machine.#outer.pid)[0] ?? 0;
    if (said.endsWith("started\n") && machine.#init > 0) return machine;
    await machine.close();
    throw new Error(`The machine ${name} did not start: ${said}`);
  }

  /** The number of its first process, as this machine counts. */
  get init(): number {
    return this.#init;
  }

  /** The command that runs `command` on it. */
  #enter(command: string[], { cwd = "/", uid }: RunOptions): string[] {
    const asUser = uid === undefined ? [] : ["--reuid", `${uid}`, "--regid", `${uid}`];
    return [
      ...(this.#groups?.join ?? []),
      ...["nsenter", "--target", `${this.#init}`],
      ...[...SPACES, ...(this.#groups === undefined ? [] : ["--cgroup"]), "--"],
      ...(uid === undefined ? [] : ["setpriv", ...asUser, "--clear-groups"]),
      ...["env", "-C", cwd, ...command],
    ];
  }

  /** Runs `command` to its end. */
  async run(command: string[], options: RunOptions = {}): Promise<Result> {
    const { timeoutMs = TIMEOUT_MS, env = {} } = options;
    const limited = ["timeout", "-k", "5", `${timeoutMs / 1000}`, ...command];
    return await run(this.#enter(limited, options), { env, timeoutMs: timeoutMs + GRACE_MS });
  }

  /** Runs a bash script that must succeed, every line of it; returns what it printed. */
  async sh(script: string, options: RunOptions = {}): Promise<string> {
    const command = ["bash", "-euo", "pipefail", "-c", script];
    const { code, stdout, stderr } = await this.run(command, options);
    if (code === 0) return stdout;
    const printed = `${stdout}${stderr}`.slice(-3000);
    throw new Error(`exit code ${code} on ${this.name} of\n${script.trim()}\n${printed}`);
  }

  /** Starts `command`; it ends with the machine, if not before. */
  spawn(command: string[], options: RunOptions = {}): Program {
    const name = `${command.join(" ").slice(0, 200)} on ${this.name}`;
    const program = new Program(this.#enter(command, options), name, options.env ?? {});
    this.#programs.add(program);
    return program;
  }

  /** Kills all programs that `spawn` has started and that have not ended. */
  async killPrograms(): Promise<void> {
    const running = [...this.#programs].filter(({ hasEnded }) => !hasEnded);
    this.#programs.clear();
    await Promise.all(running.map((program) => program.stop("SIGKILL")));
  }

  /** Ends all its processes and waits for their end. */
  async close(): Promise<void> {
    if (this.#init > 0 && this.#outer.exitCode === null) process.kill(this.#init, "SIGKILL");
    this.#outer.kill("SIGKILL");
    await until(
      () => this.#outer.exitCode !== null || this.#outer.signalCode !== null,
      () => `the end of the machine ${this.name}`,
    );
    // Its processes are gone a moment after the first.
    await this.#groups?.remove();
  }
}
