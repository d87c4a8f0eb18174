/** watch.c as a test uses it: a process that waits for events of one file. */
import type { Subprocess } from "bun";
import { sh } from "../support/run.ts";

const LINE_MS = 60_000;

export type How = "poll" | "select" | "epoll" | "edge";

/** Compiles watch.c into `directory`; the program's path. Guests have it compiled: QTFS_WATCH_POLL. */
export async function compileWatch(directory: string): Promise<string> {
  if (process.env.QTFS_WATCH_POLL !== undefined) return process.env.QTFS_WATCH_POLL;
  const program = `${directory}/watch`;
  await sh(`cc -O2 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/watch.c`);
  return program;
}

export class Waiting {
  readonly #child: Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncGenerator<string>;

  constructor(program: string, how: How, file: string, trigger?: string) {
    const more = trigger === undefined ? [] : [trigger];
    this.#child = Bun.spawn([program, how, file, ...more], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = lines(this.#child.stdout);
  }

  /** The next line that it prints: `waiting` first, then `woken EVENTS: CONTENT`. */
  async line(): Promise<string> {
    const late = Bun.sleep(LINE_MS).then(() => {
      throw new Error("It was not woken");
    });
    const { value } = await Promise.race([this.#lines.next(), late]);
    return value ?? "ended";
  }

  /** Skips lines until one has `text`. */
  async lineWith(text: string): Promise<string> {
    for (;;) {
      const line = await this.line();
      if (line.includes(text) || line === "ended") return line;
    }
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#child.exited;
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}
