/** A rexec-server of a test's own, and programs that run through it. */
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { until } from "../support/program.ts";
import { QTFS } from "../support/server.ts";

export { QTFS };

const STOP_MS = 10_000;

export class Stage {
  readonly directory = mkdtempSync(`${tmpdir()}/rexec-`);
  readonly address: string;
  /** The fixture. */
  readonly probe: string;
  pid = 0;
  #child: Bun.Subprocess | undefined;
  readonly #options: readonly string[];

  private constructor(options: readonly string[], address: string | undefined) {
    this.address = address ?? `unix://${this.directory}/rexec.sock`;
    this.probe = `${this.directory}/probe`;
    this.#options = options;
  }

  static async begin(options: readonly string[] = [], address?: string): Promise<Stage> {
    const stage = new Stage(options, address);
    const source = new URL("./probe.c", import.meta.url).pathname;
    const cc = Bun.spawn(["cc", "-O2", "-Wall", "-Werror", "-o", stage.probe, source]);
    if ((await cc.exited) !== 0) throw new Error("probe.c cannot be built");
    await stage.start();
    return stage;
  }

  async start(): Promise<void> {
    const output = openSync(`${this.directory}/log`, "a");
    const before = this.log.length;
    const command = [QTFS, "rexec-server", "--listen", this.address, ...this.#options];
    const child = Bun.spawn(command, { stdio: ["ignore", output, output] });
    closeSync(output);
    this.#child = child;
    this.pid = child.pid;
    const isUp = () => {
      if (child.exitCode !== null) throw new Error(`The server has ended:\n${this.log}`);
      const said = this.log.slice(before);
      return said.includes("Listening") && said.includes("keeps the programs");
    };
    await until(isUp, () => `the server:\n${this.log}`);
  }

  get log(): string {
    return readFileSync(`${this.directory}/log`, "utf8");
  }

  /** The words that run what follows them over there. */
  get rexec(): string[] {
    return [QTFS, "rexec", "--server", this.address];
  }

  /** The process that has the programs, as the server has said last; 0: none yet. */
  get keeper(): number {
    return Number([...this.log.matchAll(/Process (\d+).* keeps the programs/g)].at(-1)?.[1] ?? 0);
  }

  /** Descriptors that the keeper has open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.keeper}/fd`).length;
  }

  /** Its child processes, of all its threads. */
  get children(): string[] {
    return readdirSync(`/proc/${this.keeper}/task`).flatMap((task) => {
      try {
        const text = readFileSync(`/proc/${this.keeper}/task/${task}/children`, "latin1");
        return text.split(" ").filter(Boolean);
      } catch {
        // A thread that has ended meanwhile.
        return [];
      }
    });
  }

  /** Has the server end, and leave its programs to the next one. */
  async stop(): Promise<void> {
    this.#child?.kill("SIGTERM");
    await this.#child?.exited;
  }

  /** Kills the server, and nobody else. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
  }

  async end(): Promise<void> {
    const child = this.#child;
    // It takes its programs with it.
    child?.kill("SIGINT");
    if (child !== undefined) await Promise.race([child.exited, Bun.sleep(STOP_MS)]);
    child?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What a program has written, and how it has ended. */
export interface Result {
  stdout: string;
  stderr: string;
  code: number | null;
  signal: string | null;
}

const RUN_MS = 30_000;

/** Runs `command` to its end with `input`; the bytes it writes as latin1 text. */
export async function run(
  command: string[],
  options: {
    input?: Uint8Array;
    env?: Record<string, string>;
    cwd?: string;
    boundMs?: number;
  } = {},
): Promise<Result> {
  const { input, env, cwd, boundMs } = options;
  const child = Bun.spawn(command, {
    stdin: input ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(env && { env }),
    ...(cwd && { cwd }),
    timeout: boundMs ?? RUN_MS,
    killSignal: "SIGKILL",
  });
  const read = async (stream: ReadableStream<Uint8Array>) =>
    Buffer.from(await new Response(stream).arrayBuffer()).toString("latin1");
  const [stdout, stderr] = await Promise.all([read(child.stdout), read(child.stderr)]);
  await child.exited;
  const signal = child.signalCode === null ? null : `${child.signalCode}`;
  return { stdout, stderr, code: signal === null ? child.exitCode : null, signal };
}
