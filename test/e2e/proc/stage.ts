/**
 * The seed's guide on one machine: a HOST, which is processes in a PID and a mount namespace
 * of their own with a server in their midst, and a chroot in a mount namespace of this
 * machine, the DPU, with the HOST's /proc at /proc and the DPU's at /local_proc.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { ask, endpoints } from "../../../src/info/query.ts";
import type { MountReport } from "../../../src/info/report.ts";
import { eventually, isGone } from "../mounts/caller.ts";
import { WITHOUT_OTHERS } from "../support/apart.ts";
import { type Result, type RunOptions, run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { HOST, ROOT } from "./machines.ts";

const START_MS = 60_000;
const END_MS = 20_000;

export interface StageOptions {
  /** As for `--export`; the HOST's /proc unless given. */
  exported?: string;
  /** For `-o`, beside `server=`. */
  options?: string[];
}

export class ProcStage {
  /** Of everything, on the DPU. */
  readonly directory = mkdtempSync("/var/tmp/proc-");
  /** The chroot. */
  readonly root = `${this.directory}/root`;
  /** Where the HOST's /proc is mounted. */
  readonly target = `${this.root}/proc`;
  readonly #options: StageOptions;
  #host: Bun.Subprocess | undefined;
  /** Keeps the DPU's mount namespace. */
  #dpu: Bun.Subprocess | undefined;

  private constructor(options: StageOptions) {
    this.#options = options;
  }

  static async start(options: StageOptions = {}): Promise<ProcStage> {
    const stage = new ProcStage(options);
    try {
      await stage.#start();
    } catch (error) {
      await stage.close();
      throw error;
    }
    return stage;
  }

  async #start(): Promise<void> {
    const { directory, root } = this;
    await chmod(directory, 0o755);
    mkdirSync(root);
    const namespaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const script = [...WITHOUT_OTHERS, "bash", "-euc", HOST, "host", directory, QTFS];
    const exported = this.#options.exported ?? "/proc";
    this.#host = Bun.spawn(["unshare", ...namespaces, ...script, exported], {
      stdio: ["ignore", "ignore", Bun.file(`${directory}/server.log`)],
    });
    const apart = ["unshare", "--mount", "--propagation", "private", ...WITHOUT_OTHERS];
    this.#dpu = Bun.spawn([...apart, "sleep", "inf"], { stdio: ["ignore", "ignore", "inherit"] });
    const isReady = () => existsSync(`${directory}/server.sock`) && this.#isApart();
    await eventually(isReady, "the HOST and the DPU are there", START_MS);
    this.must(await this.#inDpu(["bash", "-euc", ROOT, "root", root]));
    await this.mount();
    await this.onHost(`until grep -q ^host /proc/${this.marker}/cmdline; do sleep 0.05; done`);
  }

  #isApart(): boolean {
    const pid = this.#dpu?.pid;
    const program = readFileSync(`/proc/${pid}/comm`, "latin1");
    return program === "sleep\n" && existsSync(`${this.directory}/marker.pid`);
  }

  /** Mounts the HOST's directory as in the guide. */
  async mount(): Promise<void> {
    const { exported = "/proc", options = ["proc"] } = this.#options;
    const list = [`server=unix://${this.directory}/server.sock`, ...options].join(",");
    const command = [QTFS, "mount", "-o", list, exported, this.target];
    this.must(await this.#inDpu(command), `\n${this.log()}`);
  }

  /** What the server has logged. */
  log(): string {
    return readFileSync(`${this.directory}/server.log`, "utf8");
  }

  must(result: Result, more = ""): string {
    const { code, stdout, stderr } = result;
    if (code !== 0) throw new Error(`exit code ${code}\n${stdout}${stderr}${more}`);
    return stdout;
  }

  /** The command that runs `command` on the DPU, where it sees the chroot's mounts. */
  onDpu(command: string[]): string[] {
    return ["nsenter", `--mount=/proc/${this.#dpu?.pid}/ns/mnt`, "--", ...command];
  }

  async #inDpu(command: string[], options?: RunOptions): Promise<Result> {
    return await run(this.onDpu(command), { cwd: "/", ...options });
  }

  /** Runs a bash script on the DPU outside the chroot. */
  async outside(script: string): Promise<Result> {
    return await this.#inDpu(["bash", "-uc", script, "outside", this.target]);
  }

  /** The command that runs a bash script in the chroot. */
  commandInside(script: string, uid = 0): string[] {
    const chroot = ["chroot", `--userspec=${uid}:${uid}`, this.root];
    return this.onDpu([...chroot, "bash", "--norc", "-uc", script]);
  }

  /** Runs a bash script in the chroot. */
  async inside(script: string, uid = 0): Promise<Result> {
    return await run(this.commandInside(script, uid), { cwd: "/" });
  }

  /** The same, with all its lines, of a script that has to succeed. */
  async lines(script: string, uid = 0): Promise<string[]> {
    return this.must(await this.inside(`set -e; ${script}`, uid))
      .split("\n")
      .slice(0, -1);
  }

  /** Runs a bash script on the HOST. */
  async onHost(script: string): Promise<string> {
    const enter = ["nsenter", `--target=${this.#hostInit()}`, "--mount", "--pid", "--uts", "--"];
    return this.must(await run([...enter, "bash", "-euc", script], { cwd: "/" }));
  }

  /** The first process of the HOST, as this machine numbers it. */
  #hostInit(): string {
    const pid = this.#host?.pid;
    if (pid === undefined || this.#host?.exitCode !== null) return "";
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  }

  /** Kills the server, which is started again, as the HOST's service manager would. */
  async killServer(): Promise<void> {
    await this.onHost(`kill -KILL $(cat ${this.directory}/server.pid)`);
  }

  /** The HOST's number of its process host-marker, whose working directory is the HOST's /opt. */
  get marker(): number {
    return Number(readFileSync(`${this.directory}/marker.pid`, "latin1"));
  }

  /** The process that serves the mount, perhaps only in a moment. */
  async daemon(): Promise<number> {
    const endMs = performance.now() + START_MS;
    for (let pid = await this.#serves(); ; pid = await this.#serves()) {
      if (pid !== undefined) return pid;
      if (performance.now() > endMs) throw new Error(`Nobody serves ${this.target}`);
      await Bun.sleep(20);
    }
  }

  async #serves(): Promise<number | undefined> {
    const mounts = endpoints().filter(({ kind }) => kind === "mount");
    const says = mounts.map(async ({ pid, path }) => {
      const report = (await ask(path, { want: "snapshot" })) as unknown as MountReport;
      if (report.target !== this.target) throw new Error("It serves another");
      return pid;
    });
    return await Promise.any(says).catch(() => undefined);
  }

  /** Unmounts and ends all of it, also where a part of that fails. */
  async close(): Promise<void> {
    try {
      if (this.#dpu !== undefined) await this.#unmount();
    } finally {
      // The first process of the HOST's PID namespace, with which all others end.
      const init = Number(this.#hostInit());
      if (init > 0) process.kill(init, "SIGKILL");
      this.#host?.kill("SIGKILL");
      this.#dpu?.kill("SIGKILL");
      await Promise.all([this.#host?.exited, this.#dpu?.exited]);
      rmSync(this.directory, { recursive: true, force: true });
    }
  }

  async #unmount(): Promise<void> {
    const pid = await this.#serves();
    const { code } = await this.#inDpu(["umount", this.target]);
    if (code !== 0) await this.#inDpu(["umount", "--force", "--lazy", this.target]);
    if (pid !== undefined) await eventually(() => isGone(pid), "the mount's process ends", END_MS);
  }
}
