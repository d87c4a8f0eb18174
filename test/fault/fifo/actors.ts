/** Processes of a FIFO scenario (actor.c), driven without waiting for more than asked. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { callText } from "../../../src/client/twins/fifo/opencall.ts";
import { SYS } from "../../../src/sys/arch.ts";
import { pipe2, read, write } from "../../../src/sys/io.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { close, O_CLOEXEC, setNonBlocking } from "../../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import { pidfdOpen } from "../../../src/sys/process.ts";

const buffer = allocate(4096);

/** Compiles the program; where it is, and how to be rid of it. */
export function compileActor(): { path: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), "qtfs-actor-"));
  const path = join(directory, "actor");
  const source = join(import.meta.dir, "actor.c");
  const done = Bun.spawnSync(["cc", "-O1", "-o", path, source], { stderr: "pipe" });
  if (!done.success) throw new Error(done.stderr.toString());
  return { path, remove: () => rmSync(directory, { recursive: true }) };
}

function twoEnds(): [number, number] {
  const ends = pipe2(O_CLOEXEC);
  if (typeof ends === "number") throw new Error(`no pipe: errno ${-ends}`);
  return ends;
}

export class Actor {
  readonly pid: number;
  readonly #child: Bun.Subprocess;
  readonly #input: number;
  readonly #output: number;
  readonly #polls = new PollSet(1);
  #text = "";

  constructor(program: string) {
    const [stdin, input] = twoEnds();
    const [output, stdout] = twoEnds();
    this.#child = Bun.spawn([program], { stdio: [stdin, stdout, "inherit"] });
    close(stdin);
    close(stdout);
    setNonBlocking(output, true);
    this.pid = this.#child.pid;
    this.#input = input;
    this.#output = output;
  }

  tell(command: string): void {
    const length = buffer.bytes.latin1Write(`${command}\n`, 0);
    write(this.#input, buffer.address, length);
  }

  /** A line that it has answered, if any. */
  answer(): string | undefined {
    this.#listen();
    const [line, ...rest] = this.#text.split("\n");
    if (rest.length === 0) return undefined;
    this.#text = rest.join("\n");
    return line;
  }

  #listen(): void {
    const got = read(this.#output, buffer.address, buffer.size);
    if (got > 0) this.#text += buffer.bytes.latin1Slice(0, got);
  }

  /** Waits until it says something, at most so long. */
  await(ms: number): void {
    this.#polls.clear();
    this.#polls.add(this.#output, POLLIN);
    this.#polls.wait(ms);
  }

  /** Waits until it waits in open(2) with those flags, or has answered; at most so long. */
  awaitOpening(flags: number, ms: number): void {
    for (const endMs = performance.now() + ms; performance.now() < endMs; ) {
      this.#listen();
      if (this.#text !== "") return;
      const [number, , , given] = callText(this.pid, 1).split(" ").map(Number);
      if (number === SYS.openat && given === flags) return;
    }
  }

  signal(): void {
    this.#child.kill("SIGUSR1");
  }

  /** Kills it: when this returns its descriptors are closed. */
  kill(): void {
    const pidfd = pidfdOpen(this.pid);
    this.#child.kill("SIGKILL");
    if (pidfd >= 0) {
      this.#polls.clear();
      this.#polls.add(pidfd, POLLIN);
      this.#polls.wait(10_000);
      close(pidfd);
    }
    for (const fd of [this.#input, this.#output]) close(fd);
  }
}
