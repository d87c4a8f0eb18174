/** Processes that are busy on a mount all the time: steady.c, driven from a test. */
import { sh } from "../support/run.ts";
import { eventually } from "./caller.ts";

const READY_MS = 20_000;
const END_MS = 30_000;

export type Activity = "data" | "names" | "readdir" | "fcntl" | "flock" | "fault";

/** Entries that a directory must have for "readdir". */
export const ENTRIES = 300;
/** What a file must be full of for "fault", and how long it must be. */
export const MAPPED = Buffer.alloc(1 << 20, "m");

/** Builds steady.c into `directory`; the path of the program. */
export async function buildSteady(directory: string): Promise<string> {
  const program = `${directory}/steady`;
  await sh(`cc -std=gnu11 -O1 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/steady.c`);
  return program;
}

export class Steady {
  readonly activity: Activity;
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  #said = "";
  #complaints = "";

  /** `serverDies`: a file without a name may be gone. */
  constructor(program: string, activity: Activity, path: string, serverDies = false) {
    this.activity = activity;
    const words = [program, activity, path, ...(serverDies ? ["server-dies"] : [])];
    this.#child = Bun.spawn(words, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#listen();
  }

  async #listen(): Promise<void> {
    for await (const chunk of this.#child.stdout) this.#said += Buffer.from(chunk).toString();
    this.#complaints = await this.#child.stderr.text();
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits until it has gone round once. */
  async ready(): Promise<this> {
    const goes = () => this.#said.includes("ready") || this.#hasEnded;
    await eventually(goes, `${this.activity} goes round`, READY_MS);
    return this;
  }

  /** Lets it end, after ten rounds at least: how often it went round. Throws what it complained of. */
  async end(): Promise<number> {
    this.#child.stdin.end();
    await eventually(() => this.#hasEnded, `${this.activity} ends`, END_MS);
    await eventually(
      () => this.#said.includes("done") || this.#complaints !== "",
      "it says so",
      1000,
    );
    if (this.#child.exitCode !== 0) throw new Error(`${this.activity}: ${this.#complaints}`);
    return Number(/done (\d+)/.exec(this.#said)?.[1]);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
