/** Figures of all threads of a supervisor, in memory that they share. */

import { ANSWERED, GO_ON, type Verdict } from "./call.ts";
import { CALLS_MAX } from "./record.ts";

/** Kinds of calls that there is room for. */
const KINDS_MAX = 64;
/** Of each kind: how many went on here, were done on the HOST, failed there; and nanoseconds. */
const Figure = { GONE_ON: 0, DONE: 1, FAILED: 2, NS: 3 } as const;
const FIGURES = 4;
const TALKS = 0;
const IDLE = 1;
/** Where the figures begin: behind one number, and when each thread's call has begun. */
const HEAD = 1 + CALLS_MAX;

/** What is told of one kind of call. */
export interface CallFigures {
  /** Carried out by this machine's kernel. */
  readonly wentOn: number;
  /** Answered for the HOST, without and with an error. */
  readonly done: number;
  readonly failed: number;
  /** From its coming to its answer, on the average. */
  readonly meanMicroseconds: number;
}

function figureOf(verdict: Verdict): number {
  if (verdict === GO_ON) return Figure.GONE_ON;
  return verdict === ANSWERED || verdict >= 0 ? Figure.DONE : Figure.FAILED;
}

/** The same in all threads. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

export class Tally {
  readonly shared: SharedArrayBuffer;
  readonly #flags: Int32Array;
  /** Milliseconds of the runtime's clock, by thread; 0 for one that waits. */
  readonly #sinceMs: Float64Array;
  readonly #figures: BigInt64Array;

  constructor(shared = new SharedArrayBuffer(8 * (HEAD + KINDS_MAX * FIGURES))) {
    this.shared = shared;
    this.#flags = new Int32Array(shared, 0, 2);
    this.#sinceMs = new Float64Array(shared, 8, CALLS_MAX);
    this.#figures = new BigInt64Array(shared, 8 * HEAD);
  }

  /** Whether anybody wants to hear of each call. */
  get talks(): boolean {
    return Atomics.load(this.#flags, TALKS) === 1;
  }

  set talks(on: boolean) {
    Atomics.store(this.#flags, TALKS, on ? 1 : 0);
  }

  /** The thread `index` is at a call from now on, until `end`. Whether none waits now. */
  begin(index: number): boolean {
    this.#sinceMs[index] = nowMs();
    return Atomics.sub(this.#flags, IDLE, 1) <= 1;
  }

  end(index: number): void {
    this.#sinceMs[index] = 0;
    Atomics.add(this.#flags, IDLE, 1);
  }

  /** For how long each of `threads` has been at its call: the shortest time, 0 where one waits. */
  busyForMs(threads: readonly number[]): number {
    const now = nowMs();
    return Math.min(
      ...threads.map((index) => {
        const since = this.#sinceMs[index] as number;
        return since === 0 ? 0 : now - since;
      }),
    );
  }

  /** Counts a call of the kind `index`. */
  count(index: number, verdict: Verdict, ns: number): void {
    if (index < 0) return;
    const at = index * FIGURES;
    Atomics.add(this.#figures, at + figureOf(verdict), 1n);
    Atomics.add(this.#figures, at + Figure.NS, BigInt(ns));
  }

  /** What was counted of a kind. */
  read(index: number): CallFigures {
    const figure = (which: number) => Number(Atomics.load(this.#figures, index * FIGURES + which));
    const wentOn = figure(Figure.GONE_ON);
    const done = figure(Figure.DONE);
    const failed = figure(Figure.FAILED);
    const count = wentOn + done + failed;
    const meanMicroseconds = count === 0 ? 0 : figure(Figure.NS) / count / 1000;
    return { wentOn, done, failed, meanMicroseconds };
  }
}
