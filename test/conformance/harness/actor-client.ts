/** The worker's side of an actor: a process that makes calls when told to. */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { PosixError } from "../posix/failure.ts";
import type { Identity } from "../posix/process.ts";
import type { Remote } from "./calls.ts";
import { decode, encode, lines } from "./codec.ts";

const ACTOR = join(import.meta.dir, "../actor.ts");

/** The actor ended while a call was under way. */
export class ActorDied extends Error {
  readonly signal: string | number | null;

  constructor(signal: string | number | null, code: number | null) {
    super(`An actor ended in a call: ${signal ?? `exit code ${code}`}`);
    this.signal = signal;
  }
}

/** What an actor answers to one call. */
export type Answer = { value: unknown } | { errno: number; call: string } | { error: string };

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class ActorProcess {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #waiting: Waiting[] = [];
  #ended: Error | undefined;

  constructor(scratch: string, identity: Identity) {
    this.#child = Bun.spawn([process.execPath, ACTOR, scratch, JSON.stringify(identity)], {
      cwd: "/",
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    void this.#listen();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Whether a call is under way. */
  get busy(): boolean {
    return this.#waiting.length > 0;
  }

  get alive(): boolean {
    return this.#ended === undefined;
  }

  async #listen(): Promise<void> {
    for await (const line of lines(this.#child.stdout)) {
      const answer = decode(line) as Answer;
      const waiting = this.#waiting.shift();
      if ("errno" in answer) waiting?.reject(new PosixError(answer.errno, answer.call));
      else if ("error" in answer) waiting?.reject(new Error(answer.error));
      else waiting?.resolve(answer.value);
    }
    await this.#child.exited;
    const ended = new ActorDied(this.#child.signalCode, this.#child.exitCode);
    this.#ended = ended;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(ended);
  }

  /** Asks for a call; answers come in the order of the questions. */
  call(name: string, args: unknown[]): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.push({ resolve, reject });
    this.#child.stdin.write(encode({ name, args }));
    this.#child.stdin.flush();
    return promise;
  }

  /** Until the actor sleeps inside a system call that is not the read of its next order. */
  async untilBlocked(): Promise<void> {
    for (;;) {
      const order = readFileSync(`/proc/${this.pid}/syscall`, "latin1").split(" ");
      const waitsForOrder = order[0] === READ && order[1] === "0x0";
      if (order[0] !== "running" && !waitsForOrder && order[0] !== "-1") {
        const state = readFileSync(`/proc/${this.pid}/stat`, "latin1").split(") ")[1]?.[0];
        if (state === "S" || state === "D") return;
      }
      await Bun.sleep(1);
    }
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, constants.signals[name]);
  }

  /** Ends the actor, wherever it is, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
    while (this.alive) await Bun.sleep(1);
  }
}

/** read(2)'s number, as /proc/PID/syscall prints it. */
const READ = process.arch === "arm64" ? "63" : "0";

/** An actor as a case sees it: the calls themselves, and what to do with the process. */
export type Actor = Remote & { readonly actor: ActorProcess };

export function asActor(actor: ActorProcess): Actor {
  return new Proxy({ actor } as Actor, {
    get(_, name) {
      if (name === "actor") return actor;
      // A promise is what has a `then`: an actor must not look like one.
      if (typeof name !== "string" || name === "then") return undefined;
      return (...args: unknown[]) => actor.call(name, args);
    },
  });
}
