/**
 * A load worker: one thread that makes system calls in a loop. It is told what
 * to repeat and for how long, and answers with counts and a latency histogram.
 */
import { AT_FDCWD } from "../../../src/sys/open.ts";
import { check, clockMs, cStrings, lastDevice, statx } from "./calls.ts";
import { BUCKETS, bucketOf } from "./histogram.ts";
import { LOADS, type LoadName } from "./loads/index.ts";
import type { Load } from "./loads/load.ts";

declare const self: Worker;

export interface LoadJob {
  readonly kind: "load";
  readonly load: LoadName;
  readonly root: string;
  readonly thread: number;
  /** Repetitions before the clock starts, and counted time; `maxSteps` ends it earlier. */
  readonly warmMs: number;
  readonly measureMs: number;
  readonly maxSteps: number;
  /** `gate[0]` becomes 1 when all threads are ready. */
  readonly gate: Int32Array;
}

/** Waits until another device than `device` is mounted at `root` and answers a stat. */
export interface MountedJob {
  readonly kind: "mounted";
  readonly root: string;
  /** `gate[0]` becomes 1 when nobody will mount any more. */
  readonly gate: Int32Array;
}

export type Job = LoadJob | MountedJob;

export interface LoadResult {
  readonly units: number;
  readonly steps: number;
  readonly elapsedNs: number;
  readonly latencies: Uint32Array;
}

/** "ready" asks for the gate to open; the others are the end of a job. */
export type Answer =
  | { kind: "ready" }
  | { kind: "load"; result: LoadResult }
  | { kind: "mounted"; atMs: number }
  | { kind: "error"; message: string };

function repeat({ step, settle }: Load, ms: number, maxSteps: number, latencies: Uint32Array) {
  const start = Bun.nanoseconds();
  const deadline = start + ms * 1e6;
  let units = 0;
  let steps = 0;
  let last = start;
  while (last < deadline && steps < maxSteps) {
    units += step();
    steps++;
    const end = Bun.nanoseconds();
    const bucket = bucketOf(end - last);
    latencies[bucket] = (latencies[bucket] as number) + 1;
    last = end;
  }
  settle?.();
  return { units, steps, elapsedNs: Bun.nanoseconds() - start, latencies };
}

function runLoad(job: LoadJob): LoadResult {
  const load = LOADS[job.load](job);
  try {
    self.postMessage({ kind: "ready" } satisfies Answer);
    Atomics.wait(job.gate, 0, 0);
    if (job.warmMs > 0) repeat(load, job.warmMs, Infinity, new Uint32Array(BUCKETS));
    return repeat(load, job.measureMs, job.maxSteps, new Uint32Array(BUCKETS));
  } finally {
    load.close();
  }
}

const MOUNT_POLL_MS = 0.2;

function waitMounted({ root, gate }: MountedJob): number {
  const [path] = cStrings([root]) as [number];
  check(statx(AT_FDCWD, path, 0), "statx of the mount point");
  const before = lastDevice();
  self.postMessage({ kind: "ready" } satisfies Answer);
  for (;;) {
    if (statx(AT_FDCWD, path, 0) === 0 && lastDevice() !== before) return clockMs();
    if (Atomics.wait(gate, 0, 0, MOUNT_POLL_MS) !== "timed-out") {
      throw new Error("Nothing was mounted");
    }
  }
}

self.onmessage = ({ data }: MessageEvent<Job>) => {
  let answer: Answer;
  try {
    answer =
      data.kind === "load"
        ? { kind: "load", result: runLoad(data) }
        : { kind: "mounted", atMs: waitMounted(data) };
  } catch (error) {
    answer = { kind: "error", message: String(error) };
  }
  self.postMessage(answer);
};
