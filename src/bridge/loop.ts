/**
 * The main loop of a thread that serves many descriptors: epoll(7), level
 * triggered, and timers. With cores to spare it looks for a while before it sleeps (session/spin.ts)
 * and never wakes without a reason.
 *
 * Descriptors may be added, changed and removed at any time, also while events
 * are being told: what was found for one that is gone is not told to anybody,
 * nor to another that has got its number meanwhile.
 */
import { Spin } from "../session/spin.ts";
import { Epoll } from "../sys/epoll.ts";
import { E } from "../sys/errno.ts";
import { eventsFound } from "../sys/lanes.ts";
import { close } from "../sys/open.ts";
import { Timers } from "./timers.ts";

/** Who is told of a descriptor's events: EPOLL* bits of sys/epoll.ts. */
export interface Watched {
  /** EPOLLERR and EPOLLHUP come also where they were not asked for, again at each turn. */
  onEvents(events: number): void;
}

/** Who is told whether the thread sleeps: so that one that stands still is noticed. */
export interface Pulse {
  sleeps(): void;
  wakes(): void;
}

interface Entry {
  watched: Watched;
  events: number;
  readonly generation: number;
}

/**
 * Looking again before it sleeps needs a core that nobody else does: beside the thread run the
 * programs that it serves. With two cores, two such threads and two programs a round trip
 * took 75 µs of 30 (measured).
 */
const SPINS = navigator.hardwareConcurrency >= 4;

/** The longest sleep that epoll_wait(2) can be asked for. */
const SLEEP_MAX_MS = 0x7fff_ffff;

export class Loop {
  readonly #epoll = new Epoll();
  readonly #entries = new Map<number, Entry>();
  readonly #timers = new Timers();
  readonly #hooks: (() => boolean)[] = [];
  readonly #wakes: (() => void)[] = [];
  readonly #spin = new Spin();
  readonly #pulse: Pulse | undefined;
  #generation = 0;
  #stopped = false;

  constructor(pulse?: Pulse) {
    this.#pulse = pulse;
  }

  /** Descriptors that are waited for. */
  get size(): number {
    return this.#entries.size;
  }

  /** Milliseconds of the clock that timers go by; it stands still while the machine is suspended. */
  get nowMs(): number {
    return Bun.nanoseconds() / 1e6;
  }

  /** Waits for EPOLL* `events` of `fd`; 0 or -errno (EPERM: a file that is always ready). */
  add(fd: number, events: number, watched: Watched): number {
    if (this.#entries.has(fd)) return -E.EEXIST;
    this.#generation = (this.#generation + 1) >>> 0;
    const entry = { watched, events, generation: this.#generation };
    const result = this.#epoll.add(fd, fd, events, entry.generation);
    if (result === 0) this.#entries.set(fd, entry);
    return result;
  }

  /** Waits for other events of `fd`, with 0 for EPOLLERR and EPOLLHUP alone; 0 or -errno. */
  modify(fd: number, events: number): number {
    const entry = this.#entries.get(fd);
    if (entry === undefined) return -E.ENOENT;
    if (entry.events === events) return 0;
    entry.events = events;
    return this.#epoll.modify(fd, fd, events, entry.generation);
  }

  /** Waits for `fd` no more; to be called before it is closed. */
  remove(fd: number): void {
    if (this.#entries.delete(fd)) this.#epoll.remove(fd);
  }

  /**
   * Calls `hook` in each turn after the events and before the thread may sleep: to send what
   * has gathered. It returns whether there is more to do at once. The result takes it out again.
   */
  beforeSleep(hook: () => boolean): () => void {
    this.#hooks.push(hook);
    return () => {
      const index = this.#hooks.indexOf(hook);
      if (index >= 0) this.#hooks.splice(index, 1);
    };
  }

  /** Calls `hook` whenever there are events, before they are told. The result takes it out again. */
  afterSleep(hook: () => void): () => void {
    this.#wakes.push(hook);
    return () => {
      const index = this.#wakes.indexOf(hook);
      if (index >= 0) this.#wakes.splice(index, 1);
    };
  }

  /** Calls `fn` once after `ms`; the result cancels that. */
  after(ms: number, fn: () => void): () => void {
    return this.#timers.add(this.nowMs + ms, fn);
  }

  /** Serves until `stop`. What a handler throws ends it. */
  run(): void {
    this.#stopped = false;
    while (!this.#stopped) this.#look();
  }

  /** Ends `run` after this turn. */
  stop(): void {
    this.#stopped = true;
  }

  /** One turn, sleeping for at most `timeoutMs`; whether anything was done. */
  turn(timeoutMs = 0): boolean {
    const more = this.#callHooks();
    const found = this.#deliver(more ? 0 : this.#sleepMs(timeoutMs));
    const timed = this.#timers.run(this.nowMs) > 0;
    return this.#callHooks() || more || found || timed;
  }

  /** Gives the set back; what was watched is no more. */
  close(): void {
    this.#entries.clear();
    close(this.#epoll.fd);
  }

  /** One turn of `run`. */
  #look(): void {
    const more = this.#callHooks();
    if (this.#stopped) return;
    if (more) this.#spin.worked();
    const sleeps = !more && !(SPINS && this.#spin.again());
    const found = this.#deliver(sleeps ? this.#sleepMs(SLEEP_MAX_MS) : 0);
    const timed = this.#timers.next <= this.nowMs && this.#timers.run(this.nowMs) > 0;
    if (found || timed) this.#spin.worked();
  }

  #callHooks(): boolean {
    let more = false;
    for (const hook of this.#hooks) if (hook()) more = true;
    return more;
  }

  /** How long to sleep for the next timer to be called in time. */
  #sleepMs(atMostMs: number): number {
    const { next } = this.#timers;
    if (next === Number.POSITIVE_INFINITY) return atMostMs === SLEEP_MAX_MS ? -1 : atMostMs;
    return Math.max(0, Math.min(atMostMs, Math.ceil(next - this.nowMs)));
  }

  #deliver(timeoutMs: number): boolean {
    if (timeoutMs !== 0) this.#pulse?.sleeps();
    const count = this.#epoll.wait(timeoutMs);
    this.#pulse?.wakes();
    if (count < 0 && count !== -E.EINTR) throw new Error(`Cannot wait: errno ${-count}`);
    if (count > 0) for (const hook of this.#wakes) hook();
    for (let i = 0; i < count; i++) {
      const fd = this.#epoll.data(i);
      const entry = this.#entries.get(fd);
      if (entry === undefined || entry.generation !== this.#epoll.generation(i)) continue;
      entry.watched.onEvents(eventsFound(fd, this.#epoll.events(i)));
    }
    return count > 0;
  }
}
