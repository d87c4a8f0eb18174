/** A server, a proxy before it, and a mount through both: what faults are done to. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import type { InfoReport, MountReport } from "../../src/info/report.ts";
import { close } from "../../src/sys/open.ts";
import { type Address, formatAddress, parseAddress } from "../../src/transport/address.ts";
import { eventually, isGone } from "../e2e/mounts/caller.ts";
import { mountsAt } from "../e2e/mounts/world.ts";
import { run } from "../e2e/support/run.ts";
import { QTFS as BUILT } from "../e2e/support/server.ts";
import { describeProcess, processes, uninterruptible } from "./processes.ts";
import type { Report } from "./proxy/faults.ts";
import { ProxyProcess } from "./proxy/process.ts";
import { connectTo, freeTcpAddress } from "./proxy/socket.ts";

/** The executable under test: another than the one built last, if QTFS_EXECUTABLE says so. */
export const QTFS = process.env.QTFS_EXECUTABLE ?? BUILT;

const START_MS = 20_000;
const END_MS = 15_000;
const UMOUNT_MS = 15_000;
const INFO_MS = 10_000;
const LOOK_MS = 30;
/** argv[0] of the process that waits for the death of the one that serves the mount. */
const KEEPER = "qtfs-keeper/sh";
/** What the processes of a mount are called; a keeper is a shell. */
const NAMES: ReadonlySet<string> = new Set(["qtfs", "sh"]);

export interface StageOptions {
  /** An empty directory, not below a mount. */
  directory: string;
  kind: Address["kind"];
  seed: number;
  /** For `-o`, beside the server's address. */
  options?: string[];
  onReport?: (report: Report) => void;
}

/** Sends a signal; false where the process is gone. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

export class Stage {
  readonly tree: string;
  readonly mountpoint: string;
  proxy!: ProxyProcess;
  readonly #options: StageOptions;
  readonly #server: Address;
  #child: Bun.Subprocess<"ignore", number, number> | undefined;
  /** Processes of the mount that were killed: one that cannot end is of interest. */
  readonly #killed = new Set<number>();
  #restarting = Promise.resolve();

  private constructor(options: StageOptions) {
    this.#options = options;
    this.tree = `${options.directory}/host`;
    this.mountpoint = `${options.directory}/mnt`;
    this.#server = this.#newAddress("server");
    for (const path of [this.tree, this.mountpoint]) mkdirSync(path);
  }

  /** Starts all three. */
  static async open(options: StageOptions): Promise<Stage> {
    const stage = new Stage(options);
    try {
      await stage.startServer();
      const { seed, onReport } = options;
      stage.proxy = await ProxyProcess.start({
        listen: formatAddress(stage.#newAddress("proxy")),
        to: formatAddress(stage.#server),
        seed,
        ...(onReport ? { onReport } : {}),
      });
      await stage.mount();
    } catch (error) {
      await stage.close();
      throw new Error(`${(error as Error).message}\n${stage.logs()}`);
    }
    return stage;
  }

  #newAddress(name: string): Address {
    const { kind, directory } = this.#options;
    return kind === "tcp" ? freeTcpAddress() : parseAddress(`unix://${directory}/${name}.sock`);
  }

  get serverPid(): number {
    if (this.#child === undefined) throw new Error("There is no server");
    return this.#child.pid;
  }

  /** Starts the server, always by the same command; returns when it accepts connections. */
  async startServer(): Promise<void> {
    const log = openSync(`${this.#options.directory}/server.log`, "a");
    const words = ["--listen", formatAddress(this.#server), "--insecure", "--export", this.tree];
    this.#child = Bun.spawn([QTFS, "server", ...words], { stdio: ["ignore", log, log] });
    closeSync(log);
    const accepts = () => {
      const fd = connectTo(this.#server);
      if (fd >= 0) close(fd);
      return fd >= 0;
    };
    const { pid } = this.#child;
    await eventually(() => accepts() || isGone(pid), "the server accepts connections", START_MS);
    if (isGone(pid)) throw new Error("The server has ended");
  }

  /** SIGKILL; returns when it is gone. */
  async killServer(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** SIGKILL, and after `downMs` the same command; one at a time. */
  async restartServer(downMs: number): Promise<void> {
    const before = this.#restarting;
    this.#restarting = (async () => {
      await before;
      await this.killServer();
      await Bun.sleep(downMs);
      await this.startServer();
    })();
    await this.#restarting;
  }

  /** SIGTERM, and the same command again, as a service manager does. */
  async replaceServer(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
    await this.startServer();
  }

  /** `qtfs mount`, with further arguments if given. */
  async mount(more: string[] = []): Promise<void> {
    const { directory, options = [] } = this.#options;
    const list = [`server=${this.proxy.address}`, "insecure", ...options].join(",");
    const log = ["--log-file", `${directory}/mount.log`];
    const words = ["mount", ...more, "-o", list, ...log, this.tree, this.mountpoint];
    const { code, stdout, stderr } = await run([QTFS, ...words], { timeoutMs: START_MS });
    if (code !== 0) throw new Error(`qtfs mount: exit code ${code}\n${stdout}${stderr}`);
  }

  /** What `qtfs info` says of the mount; undefined where no process answers for it. */
  async info(): Promise<MountReport | undefined> {
    const { stdout } = await run([QTFS, "info", "--json"], { timeoutMs: INFO_MS });
    if (stdout === "") return undefined;
    const { daemons } = JSON.parse(stdout) as InfoReport;
    return daemons.find((one): one is MountReport => {
      return one.kind === "mount" && "target" in one && one.target === this.mountpoint;
    });
  }

  /** The processes that belong to the mount: the one that serves it, and its keeper. */
  mountPids(): { daemons: number[]; keepers: number[] } {
    const daemons: number[] = [];
    const keepers: number[] = [];
    for (const { pid, words } of processes(NAMES)) {
      if (isGone(pid) || words.at(-1) !== this.mountpoint) continue;
      if (words[0] === KEEPER) keepers.push(pid);
      // Not the command that asks for a takeover.
      else if (words.includes("--adopt") || words.includes("--report")) daemons.push(pid);
    }
    return { daemons, keepers };
  }

  /** The process that serves the mount, another than `before`; waits until there is one. */
  async mountPid(before?: number): Promise<number> {
    const endMs = performance.now() + START_MS;
    for (;;) {
      const found = this.mountPids().daemons.find((pid) => pid !== before);
      if (found !== undefined) return found;
      if (performance.now() > endMs) throw new Error("No process serves the mount");
      // Looking through all processes costs more than a look at one.
      await Bun.sleep(LOOK_MS);
    }
  }

  /** SIGKILL to the process that serves the mount; returns when another is there. */
  async killMount(): Promise<void> {
    let pid = await this.mountPid();
    // One that has just handed over ends by itself.
    while (!signal(pid, "SIGKILL")) pid = await this.mountPid(pid);
    this.#killed.add(pid);
    await eventually(() => isGone(pid), "the mount's process is gone", END_MS);
    await this.mountPid(pid);
    // Killed before it has one itself, it would take the mount with it.
    await eventually(() => this.mountPids().keepers.length > 0, "the mount has a keeper", END_MS);
  }

  /** What server and mount have logged. */
  logs(): string {
    return ["server.log", "mount.log"]
      .map((name) => `${this.#options.directory}/${name}`)
      .filter((path) => existsSync(path))
      .map((path) => `--- ${path}\n${readFileSync(path, "utf8").slice(-6000)}`)
      .join("\n");
  }

  /** Where the threads of server and mount are, for people. */
  describe(): string {
    const { daemons, keepers } = this.mountPids();
    const pids = [this.serverPid, ...daemons, ...keepers, ...this.#killed].filter((pid) => {
      return existsSync(`/proc/${pid}`);
    });
    return pids.map(describeProcess).join("\n");
  }

  /** Takes the mount away as a user would, and all the rest; what was wrong with that. */
  async close(): Promise<string[]> {
    const problems: string[] = [];
    if (this.#child !== undefined && !isGone(this.serverPid)) this.#child.kill("SIGCONT");
    if (mountsAt(this.mountpoint).length > 0) problems.push(...(await this.umount()));
    await this.proxy?.stop();
    this.#child?.kill("SIGTERM");
    await Promise.race([this.#child?.exited, Bun.sleep(END_MS)]);
    if (this.#child !== undefined && !isGone(this.serverPid)) {
      problems.push(`The server does not end\n${describeProcess(this.serverPid)}`);
      await this.killServer();
    }
    return problems;
  }

  /** Ends the mount by force: every call on it fails (MNT_FORCE of umount2(2)). */
  abort(): void {
    const words = ["--no-canonicalize", "--internal-only", "--force", "--lazy"];
    spawnSync("timeout", ["-s", "KILL", "10", "umount", ...words, this.mountpoint]);
  }

  /** umount(8), which has to do; what was wrong with that. */
  async umount(): Promise<string[]> {
    const { code, stderr } = await run(["umount", this.mountpoint], { timeoutMs: UMOUNT_MS });
    const problems = code === 0 ? [] : [`umount: exit code ${code} ${stderr}`];
    const left = () => Object.values(this.mountPids()).flat();
    const endMs = performance.now() + END_MS;
    while (left().length > 0 && performance.now() < endMs) await Bun.sleep(LOOK_MS);
    if (left().length > 0) problems.push(`left after umount:\n${this.describe()}`);
    const pids = [...left(), ...this.#killed];
    problems.push(...uninterruptible(pids).map((thread) => `in state D: ${thread}`));
    if (mountsAt(this.mountpoint).length > 0) this.abort();
    for (const pid of left()) process.kill(pid, "SIGKILL");
    return problems;
  }
}
