/**
 * What a worker notes of its operations, outside of the mount: the intention
 * before, the outcome after. So an operation that was under way when something
 * broke is known as one that may or may not have happened, and all others are certain.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { nowMs } from "../proxy/clock.ts";

export const LOCK_KINDS = ["fcntl", "flock", "mkdir"] as const;
export type LockKind = (typeof LOCK_KINDS)[number];

/** Changes of a worker's own files; paths begin below the mount. Data is text that repeats. */
export type Change =
  | { op: "create"; path: string; mode: number }
  | { op: "write"; path: string; offset: number; length: number; text: string }
  /** With O_APPEND, then fsync. */
  | { op: "append"; path: string; length: number; text: string }
  /** Through a shared mapping, then msync. */
  | { op: "map"; path: string; offset: number; length: number; text: string }
  | { op: "truncate"; path: string; size: number }
  | { op: "chmod"; path: string; mode: number }
  | { op: "rename"; path: string; to: string }
  | { op: "link"; path: string; to: string }
  | { op: "symlink"; path: string; target: string }
  | { op: "unlink"; path: string }
  | { op: "mkdir"; path: string }
  | { op: "rmdir"; path: string };

/** What compares what is seen with what must be there. */
export type Look =
  | { op: "read"; path: string }
  | { op: "list"; path: string }
  | { op: "status"; path: string }
  /** A file without a name that is still open. */
  | { op: "orphan" }
  | { op: "close" }
  /** The working directory, which is the worker's own. */
  | { op: "where" };

/** What all workers do to the same files. */
export type Shared =
  /** Appends a line to the common log, then fsync. */
  | { op: "log" }
  /** Adds one to a common number, under a lock. */
  | { op: "count"; lock: LockKind }
  /** Takes a range of the common slots, if it is free, and puts a mark there. */
  | { op: "hold"; slot: number }
  /** Looks for the marks in all slots held. */
  | { op: "verify" }
  | { op: "drop"; slot: number };

export type Operation = Change | Look | Shared;

export const LOOKS: ReadonlySet<Operation["op"]> = new Set<Look["op"]>([
  ...(["read", "list", "status", "orphan", "close", "where"] as const),
]);
export const SHARED: ReadonlySet<Operation["op"]> = new Set<Shared["op"]>([
  ...(["log", "count", "hold", "verify", "drop"] as const),
]);

/** How an operation went; absent where it never returned. */
export interface Outcome {
  atMs: number;
  /** A number that was counted, whether a slot was free. */
  value?: number | boolean;
  /** Name of the errno (EIO), or `mismatch` where something else was seen than must be. */
  error?: string;
  /** What failed, for people. */
  text?: string;
  /** After an error: whether the change has happened all the same. */
  happened?: boolean;
}

export interface Step {
  number: number;
  atMs: number;
  operation: Operation;
  outcome?: Outcome;
}

/** A line of the log. */
type Line = { number: number; atMs: number; operation?: Operation } & Partial<Outcome>;

export class Recorder {
  readonly #fd: number;
  #number = 0;

  constructor(path: string) {
    this.#fd = openSync(path, "a");
  }

  /** Notes that `operation` is about to be tried; its number. */
  intend(operation: Operation): number {
    const number = ++this.#number;
    this.#put({ number, atMs: nowMs(), operation });
    return number;
  }

  /** Notes how it went. */
  conclude(number: number, outcome: Omit<Outcome, "atMs">): void {
    this.#put({ number, atMs: nowMs(), ...outcome });
  }

  #put(line: Line): void {
    writeSync(this.#fd, `${JSON.stringify(line)}\n`);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** All steps of one worker, in their order. A line that is cut short was never finished: it counts as not there. */
export function readSteps(path: string): Step[] {
  const steps: Step[] = [];
  for (const text of readFileSync(path, "utf8").split("\n").slice(0, -1)) {
    const { number, atMs, operation, ...outcome } = JSON.parse(text) as Line;
    if (operation !== undefined) steps.push({ number, atMs, operation });
    const step = steps.at(-1);
    if (step === undefined || step.number !== number) throw new Error(`${path}: out of order`);
    if (operation === undefined) step.outcome = { ...step.outcome, atMs, ...outcome };
  }
  return steps;
}
