/** A process at work on a mount: busy.ts, driven from a test. */
import { readFileSync, writeFileSync } from "node:fs";
import { eventually } from "./caller.ts";

const GOES_ON_MS = 40_000;

export class Load {
  readonly pid: number;
  readonly #counter: string;
  readonly #child: Bun.Subprocess<"ignore", "inherit", "pipe">;

  /** Begins below `target`; `counter` is a path outside the mount. */
  constructor(target: string, counter: string) {
    const words = [`${import.meta.dir}/busy.ts`, target, counter, `${counter}.stop`];
    writeFileSync(counter, "0");
    this.#counter = counter;
    this.#child = Bun.spawn([process.execPath, ...words], {
      stdio: ["ignore", "inherit", "pipe"],
    });
    this.pid = this.#child.pid;
  }

  /** Rounds done so far. */
  get count(): number {
    return Number(readFileSync(this.#counter, "utf8"));
  }

  /** Waits until it has done more. */
  async goesOn(): Promise<void> {
    const before = this.count;
    await eventually(() => this.count > before + 1, "the load goes on", GOES_ON_MS);
  }

  /** Ends it after the round that it is at: its exit code and what it said of errors. */
  async end(): Promise<string> {
    writeFileSync(`${this.#counter}.stop`, "");
    const said = await this.#child.stderr.text();
    return `${await this.#child.exited}${said}`;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
