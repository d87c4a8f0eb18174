/**
 * What a thread is at, in memory shared with the thread that watches it
 * (info/watchdog.ts). One thread writes plain words, a reader sees each of them
 * a moment late at most.
 */

/** What a thread is at; from OPERATION on, that plus what its process says (`describe`). */
export const At = {
  /** It has not begun, and nobody waits for it. */
  STARTING: 0,
  /** Until something happens. */
  ASLEEP: 1,
  /** Between one thing and the next. */
  LOOKING: 2,
  OPERATION: 64,
} as const;

const NAMES: Readonly<Record<number, string>> = {
  [At.STARTING]: "starting",
  [At.ASLEEP]: "asleep",
  [At.LOOKING]: "looking for work",
};

const BEATS = 0;
const AT = 1;
const TID = 2;

/** Memory of one heartbeat. */
export const HEARTBEAT_BYTES = 16;

/** `at` as people read it; `describe` names what is from OPERATION on. */
export function nameOf(at: number, describe: (operation: number) => string): string {
  return at < At.OPERATION ? (NAMES[at] ?? "?") : describe(at - At.OPERATION);
}

export class Heartbeat {
  readonly #words: Int32Array;

  /** `at`: where in `shared` its HEARTBEAT_BYTES are. */
  constructor(shared = new SharedArrayBuffer(HEARTBEAT_BYTES), at = 0) {
    this.#words = new Int32Array(shared, at, HEARTBEAT_BYTES / 4);
  }

  /** The thread whose heart this is says which one it is (gettid(2)). */
  belongsTo(tid: number): void {
    this.#words[TID] = tid;
  }

  /** It begins with `at`, an At or OPERATION and more. On hot paths: two stores. */
  beat(at: number): void {
    const words = this.#words;
    words[AT] = at;
    words[BEATS] = ((words[BEATS] as number) + 1) | 0;
  }

  get at(): number {
    return this.#words[AT] as number;
  }

  /** How often it has beaten, modulo 2^32. */
  get beats(): number {
    return this.#words[BEATS] as number;
  }

  /** The thread's id, 0 before it has begun. */
  get tid(): number {
    return this.#words[TID] as number;
  }
}
