/**
 * System calls that may take long (fsync, lock waits) run in threads of their
 * own, so that they never hold up a reactor. Threads are started on demand and
 * wait for more; a call whose request is cancelled is interrupted by a signal.
 */

import { free, type Region } from "../sys/memory.ts";
import { close } from "../sys/open.ts";
import { getpid, tgkill } from "../sys/process.ts";
import { WAITS_MAX } from "../wire/limits.ts";
import {
  CallQueue,
  DONE_TAIL,
  HEAD,
  IDLE,
  JOB_NUMBERS,
  JOBS_MAX,
  RESULT,
  STOP,
  TAIL,
} from "./callqueue.ts";
import type { Session } from "./session.ts";

/** Threads of one reactor at most; waits may hold all but CALL_THREADS_FREE of them. */
export const CALL_THREADS_MAX = 64;
const CALL_THREADS_FREE = 8;
/** Interrupts a blocking call: a real-time signal that no runtime uses. */
export const INTERRUPT_SIGNAL = 44;

export interface CallOptions {
  /** Handles that the call uses: kept open until it has ended. */
  handle?: number;
  alsoHandle?: number;
  /** Descriptor and memory to let go of when it has ended. */
  closes?: number;
  frees?: Region;
  /** The call may wait for ever, for another process. */
  waits?: boolean;
  /** Called when it has ended, whether or not anybody still wants the answer. */
  ends?: () => void;
  /** Answers the request with the call's result or -errno. */
  done: (result: number) => void;
}

interface Job {
  readonly session: Session;
  readonly options: CallOptions;
  readonly resume: () => void;
  cancelled: boolean;
}

export class Calls {
  readonly queue = new CallQueue();
  readonly #jobs: (Job | undefined)[] = new Array(JOBS_MAX).fill(undefined);
  readonly #free: number[] = Array.from({ length: JOBS_MAX }, (_, i) => JOBS_MAX - 1 - i);
  readonly #addThread: () => void;
  #taken = 0;
  #waiting = 0;
  /** Jobs cancelled that have not ended yet. */
  #cancelling = 0;
  threads = 0;

  /** `addThread` asks for one more thread on this queue. */
  constructor(addThread: () => void) {
    this.#addThread = addThread;
  }

  /** Starts call `nr` for the request `session` is serving; false when there is no room. */
  start(session: Session, nr: number, args: readonly number[], options: CallOptions): boolean {
    const tooManyWaits =
      options.waits === true &&
      (this.#waiting >= CALL_THREADS_MAX - CALL_THREADS_FREE || session.waiting >= WAITS_MAX);
    const id = tooManyWaits ? undefined : this.#free.pop();
    if (id === undefined) {
      this.#letGo(options);
      return false;
    }
    const resume = session.defer(() => this.#cancel(id));
    this.#jobs[id] = { session, options, resume, cancelled: false };
    if (options.waits) this.#waiting++;
    if (options.handle !== undefined) session.attached.handles.hold(options.handle);
    if (options.alsoHandle !== undefined) session.attached.handles.hold(options.alsoHandle);
    const at = id * JOB_NUMBERS;
    const { numbers, cancelled, tid } = this.queue;
    numbers[at] = nr;
    for (let i = 0; i < 6; i++) numbers[at + 1 + i] = args[i] ?? 0;
    cancelled[id] = 0;
    tid[id] = 0;
    this.#enqueue(id);
    return true;
  }

  /** Answers what has ended since the last call; true if anything had. */
  finish(): boolean {
    const { header, done } = this.queue;
    let any = false;
    while (this.#taken !== Atomics.load(header, DONE_TAIL)) {
      const at = (this.#taken >>> 0) % JOBS_MAX;
      const id = Atomics.exchange(done, at, 0) - 1;
      // The number is put right after the place is taken: not there yet, it comes with a wake-up.
      if (id < 0) break;
      this.#taken = (this.#taken + 1) | 0;
      this.#end(id);
      any = true;
    }
    return any;
  }

  /** Whether a cancelled call has yet to end: its signal may have come too early. */
  get cancelling(): boolean {
    return this.#cancelling > 0;
  }

  /** Interrupts again what was cancelled and still runs. */
  interruptAgain(): void {
    for (let id = 0; id < JOBS_MAX; id++) {
      if (this.#jobs[id]?.cancelled) this.#interrupt(id);
    }
  }

  stop(): void {
    Atomics.store(this.queue.header, STOP, 1);
    Atomics.notify(this.queue.header, TAIL);
  }

  #enqueue(id: number): void {
    const { header, ring } = this.queue;
    const tail = Atomics.load(header, TAIL);
    ring[(tail >>> 0) % JOBS_MAX] = id;
    Atomics.store(header, TAIL, (tail + 1) | 0);
    Atomics.notify(header, TAIL, 1);
    const queued = (tail + 1 - Atomics.load(header, HEAD)) | 0;
    if (queued > Atomics.load(header, IDLE) && this.threads < CALL_THREADS_MAX) {
      this.threads++;
      this.#addThread();
    }
  }

  #cancel(id: number): void {
    const job = this.#jobs[id];
    if (job === undefined || job.cancelled) return;
    job.cancelled = true;
    this.#cancelling++;
    Atomics.store(this.queue.cancelled, id, 1);
    this.#interrupt(id);
  }

  #interrupt(id: number): void {
    const tid = Atomics.load(this.queue.tid, id);
    if (tid !== 0) tgkill(getpid(), tid, INTERRUPT_SIGNAL);
  }

  #end(id: number): void {
    const job = this.#jobs[id] as Job;
    const result = this.queue.numbers[id * JOB_NUMBERS + RESULT] as number;
    this.#jobs[id] = undefined;
    this.#free.push(id);
    if (job.cancelled) this.#cancelling--;
    const { options, session } = job;
    if (options.waits) this.#waiting--;
    this.#letGo(options);
    options.ends?.();
    const handles = session.tree?.handles;
    if (options.handle !== undefined) handles?.unhold(options.handle);
    if (options.alsoHandle !== undefined) handles?.unhold(options.alsoHandle);
    job.resume();
    if (!session.transport.closed) options.done(result);
  }

  #letGo(options: CallOptions): void {
    if (options.closes !== undefined) close(options.closes);
    if (options.frees !== undefined) free(options.frees);
  }
}
