/** Figures of all threads of a supervisor, in memory that they share. */
import { GO_ON, type Verdict } from "./call.ts";

/** What a thread does about being idle. */
export const Idle = { ENTER: 1, LEAVE: -1 } as const;

/** Kinds of calls that there is room for. */
const KINDS_MAX = 64;
/** Of each kind: how many went on here, were done on the HOST, failed there; and nanoseconds. */
const Figure = { GONE_ON: 0, DONE: 1, FAILED: 2, NS: 3 } as const;
const FIGURES = 4;
const HEAD = 2;
const IDLE = 0;
const TALKS = 1;

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

export class Tally {
  readonly shared: SharedArrayBuffer;
  readonly #idle: Int32Array;
  readonly #figures: BigInt64Array;

  constructor(shared = new SharedArrayBuffer(8 * (HEAD + KINDS_MAX * FIGURES))) {
    this.shared = shared;
    this.#idle = new Int32Array(shared, 0, 2);
    this.#figures = new BigInt64Array(shared, 8 * HEAD);
  }

  /** Whether anybody wants to hear of each call. */
  get talks(): boolean {
    return Atomics.load(this.#idle, TALKS) === 1;
  }

  set talks(on: boolean) {
    Atomics.store(this.#idle, TALKS, on ? 1 : 0);
  }

  /** Threads that wait for a call, once this one does or does no more. */
  idle(change: number): number {
    return Atomics.add(this.#idle, IDLE, change) + change;
  }

  /** Counts a call of the kind `index`. */
  count(index: number, verdict: Verdict, ns: number): void {
    if (index < 0) return;
    const at = index * FIGURES;
    const how = verdict === GO_ON ? Figure.GONE_ON : verdict < 0 ? Figure.FAILED : Figure.DONE;
    Atomics.add(this.#figures, at + how, 1n);
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
