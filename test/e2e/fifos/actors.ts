/** test/fault/fifo/actor.c on machines: one process that does to a FIFO what it is told. */
import { E } from "../../../src/sys/errno.ts";
import { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } from "../../../src/sys/open.ts";
import type { Machine } from "../support/machine.ts";
import { type Program, until } from "../support/program.ts";
import { sh } from "../support/run.ts";

export const R = O_RDONLY;
export const W = O_WRONLY;
export const RW = O_RDWR;
export const N = O_NONBLOCK;
/** Answers of actors that failed. */
export const ENXIO = `E${E.ENXIO}`;
export const EPIPE = `E${E.EPIPE}`;
export const EAGAIN = `E${E.EAGAIN}`;
export const EINTR = `E${E.EINTR}`;

/** Compiles the program into `directory`; its path. */
export async function buildActor(directory: string): Promise<string> {
  const source = new URL("../../fault/fifo/actor.c", import.meta.url).pathname;
  await sh(`cc -O1 -o ${directory}/actor ${source}`);
  return `${directory}/actor`;
}

export class FifoActor {
  readonly program: Program;
  #heard = 0;

  constructor(machine: Machine, path: string, fifo: string) {
    this.program = machine.spawn([path]);
    this.program.say(`n${fifo}\n`);
    this.#heard = -1;
  }

  get #answers(): string[] {
    return this.program.stdout.split("\n").slice(0, -1);
  }

  /** Has it do something; `answer` tells what came of it. */
  tell(command: string): void {
    if (this.#heard < 0) this.#heard = 1;
    this.program.say(`${command}\n`);
  }

  /** What came of the first command that this was not asked of. */
  async answer(boundMs?: number): Promise<string> {
    const index = this.#heard++;
    await until(
      () => this.#answers.length > index,
      () => `an answer of ${this.program}`,
      boundMs,
    );
    return this.#answers[index] as string;
  }

  async does(command: string): Promise<string> {
    this.tell(command);
    return await this.answer();
  }

  /** Does it until the answer is `wanted`: what the other machine did is seen there a little later. */
  async comesTo(command: string, wanted: string | RegExp): Promise<void> {
    let last = "";
    await until(
      async () => {
        last = await this.does(command);
        return typeof wanted === "string" ? last === wanted : wanted.test(last);
      },
      () => `${wanted} of ${command}, which gave ${last}: ${this.program}`,
    );
  }

  /** Whether it has not answered what it was told last. */
  get isBusy(): boolean {
    return this.#answers.length <= this.#heard;
  }

  async close(): Promise<void> {
    if (!this.program.hasEnded) await this.program.stop("SIGKILL");
  }
}
