/** A program that watches paths with inotify (watch.c), and what it was told. */

import { eventually } from "../mounts/caller.ts";
import { sh } from "../support/run.ts";

const READY_MS = 20_000;
/** What a happening on the HOST may take to be told here, on a machine that does much else. */
const TOLD_MS = 30_000;

/** Builds watch.c into `directory`; the path of the program. Guests have it built: QTFS_WATCH_INOTIFY. */
export async function buildWatcher(directory: string): Promise<string> {
  if (process.env.QTFS_WATCH_INOTIFY !== undefined) return process.env.QTFS_WATCH_INOTIFY;
  const program = `${directory}/watch`;
  await sh(`cc -std=gnu11 -O1 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/watch.c`);
  return program;
}

export class Watcher {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  #said = "";

  constructor(program: string, paths: readonly string[]) {
    this.#child = Bun.spawn([program, ...paths], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#listen();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) this.#said += decoder.decode(chunk);
  }

  /** Resolves once it watches. */
  async ready(): Promise<this> {
    await eventually(() => this.#said.startsWith("ready\n"), "the watcher is ready", READY_MS);
    return this;
  }

  /**
   * The events so far, a line each: number of the path, kinds, name. The same one twice
   * in a row is one: the kernel takes them together if nobody has read the first.
   */
  get events(): string[] {
    const lines = this.#said.split("\n").slice(1, -1);
    return lines.map((line) => line.trim()).filter((line, i, all) => line !== all[i - 1]?.trim());
  }

  /** Resolves once it was told `event`. */
  async told(event: string): Promise<void> {
    const all = () => this.events.join("\n");
    await eventually(() => this.events.includes(event), `the watcher is told ${event}`, TOLD_MS)
      // What it was told instead.
      .catch((error) => Promise.reject(new Error(`${(error as Error).message}:\n${all()}`)));
  }

  async end(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
