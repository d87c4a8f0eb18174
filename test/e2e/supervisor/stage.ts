/** Two machines and a program that makes calls under a supervisor on the DPU. */
import { mkdirSync } from "node:fs";
import type { Machine } from "../support/machine.ts";
import { Machines, type Way } from "../support/machines.ts";
import { sh } from "../support/run.ts";
import { QTFS } from "../support/server.ts";

export class Stage {
  readonly machines: Machines;
  readonly host: Machine;
  readonly dpu: Machine;
  /** The program that makes calls; its path is the same everywhere. */
  readonly program: string;
  readonly #way: Way;

  private constructor(machines: Machines, program: string) {
    this.machines = machines;
    this.program = program;
    this.#way = machines.ways[0] as Way;
    this.host = this.#way.server;
    this.dpu = this.#way.client;
  }

  static async start(): Promise<Stage> {
    // What is natively so the tests of mount(2) show: a supervisor needs two machines.
    process.env.QTFS_E2E_WAYS = "qtfs";
    const machines = await Machines.start({
      native: false,
      allow: ["sysmount", "process", "names"],
    });
    const program = `${machines.scratch}/calls`;
    await sh(`cc -static -O1 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/calls.c`);
    return new Stage(machines, program);
  }

  /** A directory of the share, with directories in it. */
  directory(...names: string[]): string {
    const path = this.#way.directory();
    for (const name of names) mkdirSync(`${path}/${name}`, { recursive: true });
    return path;
  }

  /** The words that run `command` under a supervisor. */
  under(command: readonly string[], logLevel = "debug"): string[] {
    return [QTFS, "supervise", `--log-level=${logLevel}`, "--", ...command];
  }

  /** Makes the calls, each as the words of the program, under one supervisor: what each said. */
  async calls(...calls: string[]): Promise<string[]> {
    const script = calls.map((words) => `${this.program} ${words}`).join("\n");
    return await this.lines(script);
  }

  /** Runs a bash script under a supervisor: the lines that it printed. */
  async lines(script: string): Promise<string[]> {
    const words = this.under(["bash", "-euo", "pipefail", "-c", script]);
    const { code, stdout, stderr } = await this.dpu.run(words);
    if (code !== 0) throw new Error(`exit code ${code} of\n${script}\n${stdout}${stderr}`);
    return stdout.trimEnd().split("\n");
  }

  /** Types of what the HOST has mounted in a directory, by the rest of the place's path. */
  async onHost(directory: string): Promise<Record<string, string>> {
    const text = await this.host.sh(`findmnt --list --noheadings --output TARGET,FSTYPE`);
    const below = text.split("\n").flatMap((line) => {
      const [target = "", type = ""] = line.split(/\s+/);
      return target.startsWith(`${directory}/`) ? [[target.slice(directory.length + 1), type]] : [];
    });
    return Object.fromEntries(below);
  }

  async close(): Promise<void> {
    await this.machines.close();
  }
}
