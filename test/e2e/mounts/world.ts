/** Servers and mounts of one test file, as many as it wants, and what is left of them. */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { ask, endpoints } from "../../../src/info/query.ts";
import type { MountReport, ServerReport } from "../../../src/info/report.ts";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { eventually, isGone } from "./caller.ts";

const START_MS = 30_000;
const END_MS = 15_000;
const UMOUNT_MS = 20_000;

export interface WorldServer {
  pid: number;
  /** As for `-o server=`. */
  address: string;
  log(): string;
}

export interface WorldMount {
  /** Of the process that serves it. */
  pid: number;
  target: string;
}

/** Lines of mountinfo for `target`. */
export function mountsAt(target: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.filter((line) => line.split(" ")[4] === target);
}

/** Descriptors that a process has open. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** VmRSS of a process, in MB. */
export function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

/** What `qtfs info --json` says of one daemon, as soon as it says anything. */
export async function report<T extends ServerReport | MountReport>(pid: number): Promise<T> {
  const endMs = performance.now() + START_MS;
  while (true) {
    // Not by qtfs info, which waits for whoever else is silent on this machine.
    const endpoint = endpoints().find((one) => one.pid === pid);
    if (endpoint === undefined) throw new Error(`Process ${pid} has no control socket`);
    try {
      return (await ask(endpoint.path, { want: "snapshot" })) as unknown as T;
    } catch (error) {
      // Between bind(2) and listen(2) it takes nobody.
      if (isGone(pid) || performance.now() > endMs) throw error;
      await Bun.sleep(10);
    }
  }
}

/** Whether a mount's process has its control socket; one of another kind may be left of an earlier process. */
function hasControlSocket(pid: number): boolean {
  return readdirSync("/run/qtfs/control").includes(`mount-${pid}.sock`);
}

/** When a process was started, in the kernel's ticks; undefined where there is none. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/**
 * The first process that says it serves the mount at `target`. Each is asked once: there may be
 * sockets that killed processes have left, whose numbers other processes have by now.
 */
async function servedBy(target: string): Promise<number | undefined> {
  const mounts = endpoints().filter(({ kind }) => kind === "mount");
  const says = mounts.map(async ({ pid, path }) => {
    const answer = (await ask(path, { want: "snapshot" })) as unknown as MountReport;
    if (answer.target !== target) throw new Error("It serves another");
    return pid;
  });
  return await Promise.any(says).catch(() => undefined);
}

/** The process that is to take a mount over should that of `mount` die. */
export async function keeperOf(mount: WorldMount): Promise<number> {
  const { keeper } = await report<MountReport>(mount.pid);
  if (keeper === undefined) throw new Error(`The mount at ${mount.target} has no keeper`);
  return keeper;
}

export class World {
  readonly directory: string;
  /** Processes by number, with when they were started: numbers are used again. */
  readonly #started = new Map<number, string>();
  readonly #targets: string[] = [];
  readonly #servers: number[] = [];
  #serial = 0;

  constructor() {
    const parent = process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir();
    this.directory = mkdtempSync(`${parent}/world-`);
  }

  /** A new directory. */
  make(name: string): string {
    const path = `${this.directory}/${name}`;
    mkdirSync(path);
    return path;
  }

  /** Starts a server; `exports` as for `--export`. `socket` is a new name unless given. */
  async server(
    exports: string[],
    socket = `${this.directory}/${this.#serial++}.sock`,
  ): Promise<WorldServer> {
    await chmod(this.directory, 0o755);
    const address = `unix://${socket}`;
    const path = `${socket}.log`;
    // Not what an earlier server at this socket has said.
    const output = openSync(path, "w");
    const words = exports.flatMap((one) => ["--export", one]);
    const child = Bun.spawn([QTFS, "server", "--listen", address, ...words], {
      stdio: ["ignore", output, output],
    });
    closeSync(output);
    this.#note(child.pid);
    this.#servers.push(child.pid);
    const log = () => readFileSync(path, "utf8");
    const listens = () => log().includes("Listening");
    await eventually(() => listens() || isGone(child.pid), "the server listens", START_MS);
    if (!listens()) throw new Error(`qtfs server did not start:\n${log()}`);
    return { pid: child.pid, address, log };
  }

  /** Mounts `source` of a server at a new directory or `target`. */
  async mount(
    server: { address: string },
    source: string,
    options: string[] = [],
    target = this.make(`mnt${this.#serial++}`),
  ): Promise<WorldMount> {
    const words = [`server=${server.address}`, ...options].join(",");
    this.#targets.push(target);
    const { code, stderr } = await run([QTFS, "mount", "-o", words, source, target], {
      timeoutMs: START_MS,
    });
    if (code !== 0) throw new Error(`qtfs mount: exit code ${code}\n${stderr}`);
    return { pid: await this.mountPid(target), target };
  }

  /** Number of the process that serves the mount at `target`, another one than `before`. */
  async mountPid(target: string, before?: number): Promise<number> {
    const endMs = performance.now() + START_MS;
    while (performance.now() < endMs) {
      const found = await servedBy(target);
      if (found === undefined || found === before) {
        await Bun.sleep(5);
        continue;
      }
      this.#note(found);
      return found;
    }
    throw new Error(`No process serves ${target}`);
  }

  /**
   * Kills the process of a mount; returns once another serves it. That need not be the keeper
   * it spoke of: until it has dismissed the one that it came with there are two.
   */
  async killed(mount: WorldMount): Promise<WorldMount> {
    const { target } = mount;
    this.#note(await keeperOf(mount));
    process.kill(mount.pid, "SIGKILL");
    return { pid: await this.mountPid(target, mount.pid), target };
  }

  /** Waits until the process of a mount answers. */
  async serves(pid: number): Promise<void> {
    const serves = () => hasControlSocket(pid) || isGone(pid);
    await eventually(serves, `process ${pid} serves a mount`, START_MS);
    if (isGone(pid)) throw new Error(`Process ${pid} has ended`);
  }

  /** umount(8); its exit code. */
  async umount(target: string, ...options: string[]): Promise<number> {
    return (await run(["umount", ...options, target], { timeoutMs: UMOUNT_MS })).code;
  }

  /** Waits until the mount and all that belongs to it are gone. */
  async vanished({ pid, target }: WorldMount): Promise<void> {
    await eventually(() => mountsAt(target).length === 0, `${target} is unmounted`, END_MS);
    await eventually(() => isGone(pid), `the process of ${target} has ended`, END_MS);
    await eventually(() => !hasControlSocket(pid), "its control socket is gone", END_MS);
  }

  #note(pid: number): void {
    const started = startOf(pid);
    if (started !== undefined) this.#started.set(pid, started);
  }

  /** Those of `pids` that are still the processes that were started. */
  #left(pids: Iterable<number>): number[] {
    return [...pids].filter((pid) => !isGone(pid) && startOf(pid) === this.#started.get(pid));
  }

  /** Signals the processes that are left. */
  #signalAll(signal: "SIGCONT" | "SIGKILL"): void {
    for (const pid of this.#left(this.#started.keys())) process.kill(pid, signal);
  }

  /** Ends the servers, and what would wait for the next ones (SIGINT); not those that cannot end. */
  async #endServers(): Promise<void> {
    const servers = this.#left(this.#servers);
    for (const pid of servers) process.kill(pid, "SIGINT");
    const endMs = performance.now() + END_MS;
    while (this.#left(servers).length > 0 && performance.now() < endMs) await Bun.sleep(10);
  }

  /** Takes everything away that is left. */
  async close(): Promise<void> {
    this.#signalAll("SIGCONT");
    for (const target of this.#targets.reverse()) {
      for (const _ of mountsAt(target)) await this.umount(target, "--lazy", "--force");
    }
    await this.#endServers();
    this.#signalAll("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}
