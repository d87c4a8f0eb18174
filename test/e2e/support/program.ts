/** A program that a test has started on a machine, and what it prints. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";

const BOUND_MS = 20_000;

/** Waits until `isSo`; throws what `what` says of it where it does not come true. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: () => string,
  boundMs = BOUND_MS,
): Promise<void> {
  const endMs = performance.now() + boundMs;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`Waited ${boundMs} ms in vain for ${what()}`);
    await Bun.sleep(10);
  }
}

/** The child processes of a process, by their numbers. */
export function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
    return children === "" ? [] : children.split(" ").map(Number);
  } catch {
    return [];
  }
}

export class Program {
  /** nsenter, whose only child is the program, and which ends as the program ends. */
  readonly #entered: Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** What it was started as, for messages. */
  readonly #name: string;
  /** What it has printed to stdout so far, and to stderr. */
  stdout = "";
  stderr = "";
  readonly #read: Promise<unknown>;

  constructor(command: string[], name: string, env: Record<string, string>) {
    this.#name = name;
    this.#entered = Bun.spawn(command, {
      stdio: ["pipe", "pipe", "pipe"],
      cwd: "/",
      env: { ...process.env, LC_ALL: "C.UTF-8", ...env },
    });
    this.#read = Promise.all([
      this.#listen(this.#entered.stdout, (text) => {
        this.stdout += text;
      }),
      this.#listen(this.#entered.stderr, (text) => {
        this.stderr += text;
      }),
    ]);
  }

  async #listen(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
  }

  /** Writes to its stdin. */
  say(text: string): void {
    this.#entered.stdin.write(text);
    this.#entered.stdin.flush();
  }

  /** Ends its stdin. */
  closeStdin(): void {
    this.#entered.stdin.end();
  }

  get hasEnded(): boolean {
    return this.#entered.exitCode !== null || this.#entered.signalCode !== null;
  }

  /** All that is known of it, for messages. */
  toString(): string {
    const end = this.hasEnded ? `ended (${this.#end})` : "runs";
    return `${this.#name}, which ${end} and printed:\n${this.stdout}${this.stderr}`.slice(-3000);
  }

  get #end(): number | NodeJS.Signals {
    const { exitCode, signalCode } = this.#entered;
    return exitCode ?? (signalCode as NodeJS.Signals);
  }

  /** Waits until it has printed what `text` says, to stdout or stderr. */
  async prints(text: string | RegExp): Promise<void> {
    const has = (printed: string) =>
      typeof text === "string" ? printed.includes(text) : text.test(printed);
    await until(
      () => {
        const said = has(this.stdout) || has(this.stderr);
        if (!said && this.hasEnded) throw new Error(`No ${text} of ${this}`);
        return said;
      },
      () => `${text} of ${this}`,
    );
  }

  /** Its exit code (128 and more: a signal), once it has ended and all it printed was read. */
  async ended(boundMs = BOUND_MS): Promise<number> {
    await this.#awaitEnd(boundMs);
    await this.#read;
    const end = this.#end;
    return typeof end === "number" ? end : 128 + constants.signals[end];
  }

  async #awaitEnd(boundMs: number): Promise<void> {
    await until(
      () => this.hasEnded,
      () => `the end of ${this}`,
      boundMs,
    );
  }

  /** Waits for it to end well, and returns what it has printed to stdout. */
  async output(boundMs = BOUND_MS): Promise<string> {
    const code = await this.ended(boundMs);
    if (code !== 0) throw new Error(`exit code ${code} of ${this}`);
    return this.stdout;
  }

  /** Sends it a signal, if it has not ended. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    let [pid] = childrenOf(this.#entered.pid);
    await until(
      () => {
        [pid] = childrenOf(this.#entered.pid);
        return pid !== undefined || this.hasEnded;
      },
      () => `the start of ${this}`,
    );
    if (pid !== undefined && !this.hasEnded) process.kill(pid, signal);
  }

  /** Sends it a signal and waits for its end; programs that it has started may print still. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.kill(signal);
    await this.#awaitEnd(BOUND_MS);
  }
}
