/**
 * System calls that may take long (fsync, lock waits) run in threads of their
 * own, so that they never hold up a reactor. Threads are started on demand and
 * wait for more; a call whose request is cancelled is interrupted by a signal.
 */

import { E } from "../sys/errno.ts";
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

/**
 * Threads of one reactor: for waits, each of which may hold one for ever, and for
 * calls that end by themselves. A thread costs 2 to 3 MB, so what waits beyond
 * is tried again and again instead.
 */
export const WAIT_THREADS_MAX = 16;
export const CALL_THREADS_MAX = 8;
/** How often waits that have no thread are tried again. */
export const POLL_WAITS_MS = 5;
/** Interrupts a blocking call: a real-time signal that no runtime uses. */
export const INTERRUPT_SIGNAL = 44;
/** In place of a call's number: makes a network namespace and mounts it on a descriptor. */
export const BIND_NETNS = -1;
/** The same: mount(2) with a working directory, its first argument. */
export const MOUNT_IN = -2;

const NONE = -1;

export interface CallOptions {
  /** Handles that the call uses: kept open until it has ended. */
  handle?: number;
  alsoHandle?: number;
  /** Descriptor and memory to let go of when it has ended. */
  closes?: number;
  frees?: Region;
  /** Called when it has ended, whether or not anybody still wants the answer. */
  ends?: () => void;
  /** Answers the request with the call's result or -errno. */
  done: (result: number) => void;
}

/** A call that may wait for ever, for another process. */
export interface WaitOptions extends CallOptions {
  /** The same without waiting: its result, -EAGAIN or -EACCES while it would wait. */
  attempt: () => number;
}

interface Job {
  readonly session: Session;
  readonly call: readonly number[];
  readonly options: CallOptions;
  readonly attempt: (() => number) | undefined;
  resume: () => void;
  cancelled: boolean;
  /** Its place in the queue, or -1 while there is none. */
  id: number;
  result: number;
}

export class Calls {
  readonly queue = new CallQueue();
  readonly #jobs: (Job | undefined)[] = new Array(JOBS_MAX).fill(undefined);
  readonly #free: number[] = Array.from({ length: JOBS_MAX }, (_, i) => JOBS_MAX - 1 - i);
  /** Jobs that no place is free for; the sessions' slots bound their number. */
  readonly #outside: Job[] = [];
  /** Jobs that have ended whose session cannot take an answer at the moment. */
  #unanswered: Job[] = [];
  /** Waits without a thread. */
  #polled: Job[] = [];
  readonly #addThread: () => void;
  #taken = 0;
  #waiting = 0;
  /** Calls that end by themselves and are not answered yet. */
  underWay = 0;
  /** Jobs cancelled that have not ended yet. */
  #cancelling = 0;
  threads = 0;

  /** `addThread` asks for one more thread on this queue. */
  constructor(addThread: () => void) {
    this.#addThread = addThread;
  }

  /** Starts call `nr` for the request `session` is serving. */
  start(session: Session, nr: number, args: readonly number[], options: CallOptions): void {
    this.underWay++;
    this.#submit(this.#job(session, [nr, ...args], options, undefined));
  }

  /** The same for a call that may wait; false when it would be one wait too many. */
  startWait(session: Session, nr: number, args: readonly number[], options: WaitOptions): boolean {
    if (session.waiting >= WAITS_MAX) {
      this.#letGo(options);
      return false;
    }
    const job = this.#job(session, [nr, ...args], options, options.attempt);
    if (this.#waiting >= WAIT_THREADS_MAX) {
      this.#polled.push(job);
    } else {
      this.#waiting++;
      this.#submit(job);
    }
    return true;
  }

  #job(
    session: Session,
    call: readonly number[],
    options: CallOptions,
    attempt: (() => number) | undefined,
  ): Job {
    const { handle, alsoHandle } = options;
    const resume = () => {};
    const job = { session, call, options, attempt, resume, cancelled: false, id: NONE, result: 0 };
    job.resume = session.defer(() => this.#cancel(job));
    if (handle !== undefined) session.attached.handles.hold(handle);
    if (alsoHandle !== undefined) session.attached.handles.hold(alsoHandle);
    return job;
  }

  /** Whether any wait has no thread. */
  get polling(): boolean {
    return this.#polled.length > 0;
  }

  /** Tries the waits that have no thread again; true if any has ended. */
  pollWaits(): boolean {
    const polled = this.#polled;
    this.#polled = [];
    for (const job of polled) {
      job.result = job.cancelled ? -E.EINTR : (job.attempt?.() ?? -E.EINTR);
      const waits = !job.cancelled && (job.result === -E.EAGAIN || job.result === -E.EACCES);
      if (waits) this.#polled.push(job);
      else this.#answer(job);
    }
    return this.#polled.length < polled.length;
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
      this.#ended(id);
      any = true;
    }
    const unanswered = this.#unanswered;
    if (unanswered.length === 0) return any;
    this.#unanswered = [];
    for (const job of unanswered) this.#answer(job);
    return any || this.#unanswered.length < unanswered.length;
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

  /** Ends the threads, once each has done the call it is at. */
  stop(): void {
    const { header, ring } = this.queue;
    Atomics.store(header, STOP, 1);
    // A job that is none: whoever is about to wait for the next one does not.
    const tail = Atomics.load(header, TAIL);
    ring[(tail >>> 0) % JOBS_MAX] = NONE;
    Atomics.store(header, TAIL, (tail + 1) | 0);
    Atomics.notify(header, TAIL);
  }

  /** Gives a job its place, or lets it wait for one. */
  #submit(job: Job): void {
    const id = this.#free.pop();
    if (id === undefined) {
      this.#outside.push(job);
      return;
    }
    job.id = id;
    this.#jobs[id] = job;
    const at = id * JOB_NUMBERS;
    const { numbers, cancelled, tid } = this.queue;
    for (let i = 0; i < RESULT; i++) numbers[at + i] = job.call[i] ?? 0;
    cancelled[id] = job.cancelled ? 1 : 0;
    tid[id] = 0;
    this.#enqueue(id);
  }

  #enqueue(id: number): void {
    const { header, ring } = this.queue;
    const tail = Atomics.load(header, TAIL);
    ring[(tail >>> 0) % JOBS_MAX] = id;
    Atomics.store(header, TAIL, (tail + 1) | 0);
    Atomics.notify(header, TAIL, 1);
    const queued = (tail + 1 - Atomics.load(header, HEAD)) | 0;
    // Each wait may hold a thread; the others share a few.
    const wanted = this.#waiting + CALL_THREADS_MAX;
    if (queued > Atomics.load(header, IDLE) && this.threads < wanted) {
      this.threads++;
      this.#addThread();
    }
  }

  #cancel(job: Job): void {
    // What would be tried again is not; it has ended, or the next try would have begun.
    if (job.result === -E.EAGAIN) job.result = -E.EINTR;
    if (job.cancelled) return;
    job.cancelled = true;
    // What is polled ends at the next round.
    if (this.#polled.includes(job)) return;
    this.#cancelling++;
    if (job.id === NONE) return;
    Atomics.store(this.queue.cancelled, job.id, 1);
    this.#interrupt(job.id);
  }

  #interrupt(id: number): void {
    const tid = Atomics.load(this.queue.tid, id);
    if (tid !== 0) tgkill(getpid(), tid, INTERRUPT_SIGNAL);
  }

  #ended(id: number): void {
    const job = this.#jobs[id] as Job;
    job.result = this.queue.numbers[id * JOB_NUMBERS + RESULT] as number;
    this.#jobs[id] = undefined;
    this.#free.push(id);
    if (job.cancelled) {
      this.#cancelling--;
      if (job.result === -E.EAGAIN) job.result = -E.EINTR;
    }
    // Ended: nothing is left to be cancelled.
    job.cancelled = true;
    if (job.attempt !== undefined) this.#waiting--;
    const next = this.#outside.shift();
    if (next !== undefined) this.#submit(next);
    this.#answer(job);
  }

  /** Answers a job's request, later if its connection is congested. */
  #answer(job: Job): void {
    const { options, session } = job;
    if (session.transport.congested) {
      this.#unanswered.push(job);
      return;
    }
    session.services.watcher.turnTo(session.tree?.watched);
    this.#letGo(options);
    options.ends?.();
    // What it caused is there by now, and not told while its files are held.
    session.services.watcher.happenings.deliver();
    const handles = session.tree?.handles;
    if (options.handle !== undefined) handles?.unhold(options.handle);
    if (options.alsoHandle !== undefined) handles?.unhold(options.alsoHandle);
    if (job.attempt === undefined) this.underWay--;
    job.resume();
    // Without a connection the answer is kept, if it is one of those.
    options.done(job.result);
  }

  #letGo(options: CallOptions): void {
    if (options.closes !== undefined) close(options.closes);
    if (options.frees !== undefined) free(options.frees);
  }
}
