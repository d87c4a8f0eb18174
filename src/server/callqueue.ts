/**
 * The memory that a reactor and its call threads share: a ring of jobs to do, a
 * ring of jobs done. A job is one system call with its arguments.
 */

/** Jobs that may be queued or running; also the size of both rings. */
export const JOBS_MAX = 256;

const HEADER_WORDS = 8;
export const TAIL = 0;
export const HEAD = 1;
export const IDLE = 2;
export const DONE_TAIL = 3;
/** Set when the threads are to end. */
export const STOP = 4;

/** Numbers of a job: call number, six arguments, result. */
export const JOB_NUMBERS = 8;
export const RESULT = 7;

export class CallQueue {
  readonly shared: SharedArrayBuffer;
  readonly header: Int32Array;
  readonly ring: Int32Array;
  /** Job number + 1, or 0 where nothing was put yet. */
  readonly done: Int32Array;
  /** Thread that runs each job, or 0. */
  readonly tid: Int32Array;
  readonly cancelled: Int32Array;
  readonly numbers: Float64Array;
  /** When a thread took each job: milliseconds since 1970. */
  readonly startedMs: Float64Array;

  constructor(shared?: SharedArrayBuffer) {
    const words = HEADER_WORDS + 4 * JOBS_MAX;
    this.shared = shared ?? new SharedArrayBuffer(words * 4 + JOBS_MAX * (JOB_NUMBERS + 1) * 8);
    let at = 0;
    const take = (count: number) => {
      const part = new Int32Array(this.shared, at, count);
      at += count * 4;
      return part;
    };
    this.header = take(HEADER_WORDS);
    this.ring = take(JOBS_MAX);
    this.done = take(JOBS_MAX);
    this.tid = take(JOBS_MAX);
    this.cancelled = take(JOBS_MAX);
    this.numbers = new Float64Array(this.shared, at, JOBS_MAX * JOB_NUMBERS);
    at += JOBS_MAX * JOB_NUMBERS * 8;
    this.startedMs = new Float64Array(this.shared, at, JOBS_MAX);
  }
}
