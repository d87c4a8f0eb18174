/** The load workers, kept for the whole run so that their code stays compiled. */
import { clockMs } from "./calls.ts";
import { percentile } from "./histogram.ts";
import type { LoadName } from "./loads/index.ts";
import { THREADS } from "./tree.ts";
import type { Answer, Job, LoadResult } from "./worker.ts";

export interface LoadSpec {
  readonly load: LoadName;
  readonly root: string;
  readonly threads: number;
  readonly warmMs: number;
  readonly measureMs: number;
  readonly maxSteps?: number;
}

export interface LoadFigures {
  readonly unitsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

interface Running {
  readonly ready: Promise<void>;
  readonly done: Promise<Answer>;
}

export class Pool {
  readonly #workers = Array.from(
    { length: Math.max(...THREADS) },
    () => new Worker(new URL("./worker.ts", import.meta.url).href),
  );

  #start(thread: number, job: Job): Running {
    const worker = this.#workers[thread] as Worker;
    const ready = Promise.withResolvers<void>();
    const done = Promise.withResolvers<Answer>();
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      ready.resolve();
      if (data.kind !== "ready") done.resolve(data);
    };
    worker.onerror = (event) => {
      ready.resolve();
      done.resolve({ kind: "error", message: event.message });
    };
    worker.postMessage(job);
    return { ready: ready.promise, done: done.promise };
  }

  /** Runs a load on its threads at the same time. Fails with the first error. */
  async load(spec: LoadSpec): Promise<LoadFigures> {
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const jobs = Array.from({ length: spec.threads }, (_, thread) =>
      this.#start(thread, {
        ...spec,
        kind: "load",
        thread,
        gate,
        maxSteps: spec.maxSteps ?? 2 ** 53,
      }),
    );
    await Promise.all(jobs.map((job) => job.ready));
    Atomics.store(gate, 0, 1);
    Atomics.notify(gate, 0);
    const answers = await Promise.all(jobs.map((job) => job.done));
    return figures(answers.map(resultOf));
  }

  /**
   * Calls `start`, and returns the milliseconds from then to the first stat that
   * the new mount at `root` answered; rejects when `failed` does.
   */
  async mounted(root: string, start: () => Promise<never>): Promise<number> {
    const gate = new Int32Array(new SharedArrayBuffer(4));
    const job = this.#start(0, { kind: "mounted", root, gate });
    await job.ready;
    const startMs = clockMs();
    const failed = start();
    try {
      const answer = await Promise.race([job.done, failed]);
      if (answer.kind !== "mounted") throw new Error(messageOf(answer));
      return answer.atMs - startMs;
    } finally {
      Atomics.store(gate, 0, 1);
      await job.done;
    }
  }

  terminate(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}

function messageOf(answer: Answer): string {
  return answer.kind === "error" ? answer.message : `Unexpected answer: ${answer.kind}`;
}

function resultOf(answer: Answer): LoadResult {
  if (answer.kind !== "load") throw new Error(messageOf(answer));
  return answer.result;
}

function figures(results: LoadResult[]): LoadFigures {
  const latencies = new Uint32Array(results[0]?.latencies.length ?? 0);
  let unitsPerSecond = 0;
  for (const result of results) {
    unitsPerSecond += (result.units / result.elapsedNs) * 1e9;
    result.latencies.forEach((count, bucket) => {
      latencies[bucket] = (latencies[bucket] ?? 0) + count;
    });
  }
  return {
    unitsPerSecond,
    p50Us: percentile(latencies, 0.5) / 1000,
    p99Us: percentile(latencies, 0.99) / 1000,
  };
}
