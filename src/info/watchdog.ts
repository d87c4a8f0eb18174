/**
 * Looks whether threads that must never wait for anything but poll(2) go on:
 * one that is not asleep and has not beaten (info/heartbeat.ts) for long is stuck.
 *
 * Time in which the watchdog itself did not run does not count: the process was
 * stopped, or the machine was suspended or has too much to do.
 */
import { At, type Heartbeat, nameOf } from "./heartbeat.ts";
import { briefState, describeState, threadState } from "./threads.ts";

/** A thread that has done nothing for this long is stuck. */
export const STUCK_MS = 10_000;
/** How often threads are looked at. */
export const LOOK_MS = 1_000;
/** How often a thread that stays stuck is told of. */
const AGAIN_MS = 60_000;
/** A look that comes later than this after the one before has missed something. */
const LATE_LOOKS = 2;
const NEVER = Number.NEGATIVE_INFINITY;

/** A thread as `qtfs info` shows it. */
export interface ThreadReport {
  name: string;
  tid: number;
  /** Letter of proc(5); "" when there is no such thread any more. */
  state: string;
  /** What it does, for people. */
  at: string;
  /** For how long, as far as it is known: what lasts less than a second is 0. */
  forMs: number;
}

/** A thread that is stuck. */
export interface Stuck {
  name: string;
  /** What there is to say, for a log. */
  text: string;
  /** Whether it can be ended: a thread in uninterruptible sleep cannot. */
  canEnd: boolean;
  /** Whether it has still not gone on. */
  isStill: () => boolean;
}

interface Watched {
  readonly name: string;
  readonly heartbeat: Heartbeat;
  readonly describe: (operation: number) => string;
  beats: number;
  /** When it was last seen to go on. */
  sinceMs: number;
  /** Its processor time then. */
  cpuMs: number;
  toldMs: number;
}

export interface WatchdogOptions {
  /** Called when a thread is found stuck, and every minute as long as it stays so. */
  stuck: (stuck: Stuck) => void;
  stuckMs?: number;
  /** A clock in ms that never goes back. */
  now?: () => number;
  /** What the kernel says of a thread, in short and in full. */
  brief?: typeof briefState;
  full?: typeof threadState;
}

export class Watchdog {
  readonly #watched: Watched[] = [];
  readonly #options: Required<WatchdogOptions>;
  #lookedMs: number;
  #timer: Timer | undefined;

  constructor(options: WatchdogOptions) {
    const now = () => performance.now();
    this.#options = { stuckMs: STUCK_MS, now, brief: briefState, full: threadState, ...options };
    this.#lookedMs = this.#options.now();
  }

  /** Watches one more thread; `describe` names its operations. */
  add(name: string, heartbeat: Heartbeat, describe: (operation: number) => string): void {
    const { beats } = heartbeat;
    const sinceMs = this.#options.now();
    this.#watched.push({ name, heartbeat, describe, beats, sinceMs, cpuMs: 0, toldMs: NEVER });
    if (this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Ends the watch: the threads are about to end. */
  stop(): void {
    clearInterval(this.#timer);
    this.#watched.length = 0;
  }

  /** Looks at all threads, once. */
  look(): void {
    const now = this.#options.now();
    const isLate = now - this.#lookedMs > LATE_LOOKS * LOOK_MS;
    this.#lookedMs = now;
    for (const one of this.#watched) {
      const { at, beats } = one.heartbeat;
      const goesOn = at === At.ASLEEP || at === At.STARTING || beats !== one.beats;
      if (goesOn || isLate) this.#begin(one, now);
      else if (now - one.sinceMs >= this.#options.stuckMs) this.#stuck(one, now);
    }
  }

  /** What the threads are at. */
  threads(): ThreadReport[] {
    const now = this.#options.now();
    return this.#watched.map(({ name, heartbeat, describe, beats, sinceMs }) => {
      const { tid, at } = heartbeat;
      const forMs = heartbeat.beats === beats ? Math.max(0, Math.round(now - sinceMs)) : 0;
      const state = tid === 0 ? "" : (this.#options.brief(tid)?.state ?? "");
      return { name, tid, state, at: nameOf(at, describe), forMs };
    });
  }

  #begin(one: Watched, now: number): void {
    const { at, beats, tid } = one.heartbeat;
    // One that sleeps on has slept since it last beat.
    if (at !== At.ASLEEP || beats !== one.beats) one.sinceMs = now;
    one.beats = beats;
    one.toldMs = NEVER;
    if (at > At.ASLEEP) one.cpuMs = this.#options.brief(tid)?.cpuMs ?? 0;
  }

  #stuck(one: Watched, now: number): void {
    if (now - one.toldMs < AGAIN_MS) return;
    one.toldMs = now;
    const { name, heartbeat, describe } = one;
    const { beats } = heartbeat;
    const doing = nameOf(heartbeat.at, describe);
    const seconds = Math.round((now - one.sinceMs) / 1000);
    const thread = this.#options.full(heartbeat.tid);
    const state =
      thread === undefined
        ? "it has ended"
        : `${thread.cpuMs - one.cpuMs} ms of processor time since, ${describeState(thread)}`;
    this.#options.stuck({
      name,
      text: `The ${name} thread is stuck: ${doing} for ${seconds} s; ${state}`,
      canEnd: thread?.state !== "D",
      isStill: () => heartbeat.beats === beats,
    });
  }
}
