/** meet.c as tests use it: who serves a socket, and who calls there. */
import type { Subprocess } from "bun";
import { type Result, run, sh } from "../support/run.ts";

const BOUND_MS = 60_000;

/** Compiles meet.c into `directory`; the program's path. */
export async function compileMeet(directory: string): Promise<string> {
  const program = `${directory}/meet`;
  await sh(`cc -O2 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/meet.c`);
  return program;
}

/** A process of meet that goes on: what it prints comes by `line`. */
export class Meeting {
  readonly #child: Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncGenerator<string>;

  constructor(command: string[]) {
    this.#child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    this.#lines = linesOf(this.#child.stdout);
  }

  /** One that is up. */
  static async up(command: string[]): Promise<Meeting> {
    const meeting = new Meeting(command);
    const said = await meeting.line();
    if (said !== "up") throw new Error(`${command.join(" ")} says ${said}`);
    return meeting;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The next line that it prints; "ended" after the last one. */
  async line(): Promise<string> {
    const late = Bun.sleep(BOUND_MS).then(() => {
      throw new Error("It has said nothing for too long");
    });
    const { value } = await Promise.race([this.#lines.next(), late]);
    return value ?? "ended";
  }

  /** What it says of the next connection that said anything: who it was, and what was served. */
  async served(): Promise<[peer: string, end: string]> {
    while (true) {
      const [peer, end] = [await this.line(), await this.line()];
      // How a HOST finds out of which type a SEQPACKET socket is (src/server/sockets.ts).
      if (end !== "served 0 bytes") return [peer, end];
    }
  }

  /** Gives it a line. */
  go(): void {
    this.#child.stdin.write("\n");
    this.#child.stdin.flush();
  }

  /** Kills it, and waits for its end. */
  async end(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** What meet prints that runs to its end. */
export async function said(command: string[], uid?: number): Promise<string> {
  const result: Result = await run(command, {
    timeoutMs: BOUND_MS,
    ...(uid === undefined ? {} : { uid }),
  });
  if (result.stderr !== "") throw new Error(`${command.join(" ")}: ${result.stderr}`);
  return result.stdout;
}

/** What a call prints that is served at a socket of that name by this user. */
export function answered(name: string, uid = 0): string {
  return `name ${name}\npeer uid ${uid} gid ${uid}\nheard hello\nheard bye\nend 0\n`;
}

/** Waits until `isSo`. */
export async function until(isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const endMs = performance.now() + BOUND_MS;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`Waited in vain: ${what}`);
    await Bun.sleep(5);
  }
}
