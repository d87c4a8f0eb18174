/** The processes of a workload: started, watched for one that is stuck, ended. */
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { isGone } from "../../e2e/mounts/caller.ts";
import { describeProcess } from "../processes.ts";
import { homeOf, RING } from "./model.ts";
import { LOCK_KINDS, readSteps, type Step } from "./record.ts";
import { counterName, LOG, SLOTS_FILE } from "./shared.ts";

const SCRIPT = new URL("./worker.ts", import.meta.url).pathname;
const START_MS = 20_000;
const LOOK_MS = 250;
/** A killed process that is still there after this is in a call that nothing ends. */
const KILLED_MS = 5000;
/** Of a worker that has failed, so many of its last operations are told. */
const LAST_STEPS = 30;
export const WORKERS = 8;

/** Makes what the workers expect to find, on the HOST. */
export function prepareRoot(root: string): void {
  for (const name of ["shared", RING]) mkdirSync(`${root}/${name}`);
  for (let i = 0; i < WORKERS; i++) mkdirSync(`${root}/${homeOf(i)}`);
  for (const name of [LOG, SLOTS_FILE]) writeFileSync(`${root}/shared/${name}`, "");
  for (const lock of LOCK_KINDS) {
    writeFileSync(`${root}/shared/${counterName(lock)}`, "0".padStart(12, "0"));
  }
}

export interface CrewOptions {
  /** What they work in: the mount, on `prepareRoot`'s directory. */
  root: string;
  /** For logs, outside of the mount. */
  scratch: string;
  seed: number;
  /** A process that does nothing for so long is stuck. */
  stuckMs: number;
  /** Further arguments of worker.ts. */
  words?: string[];
  /** Called when the first is stuck, while it is. */
  onStuck?: () => void;
}

interface Member {
  log: string;
  child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  bytes: number;
  changedMs: number;
  /** Resolves when it should have ended and has not. */
  lost: PromiseWithResolvers<null>;
}

export class Crew {
  /** What is wrong with the processes themselves. */
  readonly problems: string[] = [];
  /** Whether a process was stuck. */
  wasStuck = false;
  readonly #options: CrewOptions;
  readonly #members: Member[];
  readonly #watch: Timer;
  readonly #failed = Promise.withResolvers<void>();

  constructor(options: CrewOptions) {
    this.#options = options;
    mkdirSync(options.scratch, { recursive: true });
    this.#members = Array.from({ length: WORKERS }, (_, index) => this.#start(index));
    this.#watch = setInterval(() => this.#look(), LOOK_MS);
  }

  #start(worker: number): Member {
    const { root, scratch, seed, words = [] } = this.#options;
    const log = `${scratch}/w${worker}.log`;
    const args = [root, log, `${worker}`, `${seed + worker}`, "--stop", this.#stopFile, ...words];
    writeFileSync(log, "");
    const child = Bun.spawn([process.execPath, SCRIPT, ...args], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    return { log, child, bytes: 0, changedMs: performance.now(), lost: Promise.withResolvers() };
  }

  get #stopFile(): string {
    return `${this.#options.scratch}/stop`;
  }

  get pids(): number[] {
    return this.#members.map(({ child }) => child.pid);
  }

  /** Resolves as soon as a process has failed or is stuck. */
  get failed(): Promise<void> {
    return this.#failed.promise;
  }

  /** Waits until all have done something. */
  async working(): Promise<void> {
    const endMs = performance.now() + START_MS;
    while (this.#members.some(({ log }) => statSync(log).size === 0)) {
      if (performance.now() > endMs) throw new Error("A worker has not begun");
      await Bun.sleep(10);
    }
  }

  #look(): void {
    const now = performance.now();
    for (const [worker, member] of this.#members.entries()) {
      const bytes = statSync(member.log).size;
      if (bytes !== member.bytes) Object.assign(member, { bytes, changedMs: now });
      if (isGone(member.child.pid)) {
        if (member.child.exitCode !== 0 && !existsSync(this.#stopFile)) this.#failed.resolve();
      } else if (now - member.changedMs > this.#options.stuckMs) {
        this.#stuck(worker, member);
      }
    }
  }

  #stuck(worker: number, member: Member): void {
    member.changedMs = Infinity;
    const last = JSON.stringify(readSteps(member.log).at(-1)?.operation);
    this.problems.push(
      `w${worker} is stuck for ${this.#options.stuckMs} ms in ${last}\n` +
        describeProcess(member.child.pid),
    );
    if (!this.wasStuck) this.#options.onStuck?.();
    this.wasStuck = true;
    member.child.kill("SIGKILL");
    setTimeout(() => member.lost.resolve(null), KILLED_MS);
    this.#failed.resolve();
  }

  /** Has all of them finish what they do and end; kills those that do not. */
  async finish(): Promise<void> {
    writeFileSync(this.#stopFile, "");
    const all = this.#members.map(async ({ child, lost, log }, worker) => {
      const code = await Promise.race([child.exited, lost.promise]);
      if (isGone(child.pid)) {
        if (code !== 0) {
          const why = `w${worker} ended: ${child.signalCode ?? code}, after`;
          this.problems.push([why, ...lastSteps(log)].join("\n"));
        }
      } else {
        const text = describeProcess(child.pid);
        this.problems.push(`w${worker} does not end after SIGKILL\n${text}`);
      }
    });
    await Promise.all(all);
    clearInterval(this.#watch);
  }

  /** What each worker has noted. */
  steps(): Step[][] {
    return this.#members.map(({ log }) => readSteps(log));
  }
}

/** What a worker did last, a line each. */
function lastSteps(log: string): string[] {
  return readSteps(log)
    .slice(-LAST_STEPS)
    .map((step) => `  ${JSON.stringify(step)}`);
}
