/** Descriptors handed to a reactor by the acceptor: a ring in shared memory and a wake-up. */
import { signalEventfd } from "../sys/poll.ts";

/** Connections that may be on their way to one reactor. */
const PLACES = 256;
const TAIL = 0;
const SESSIONS = 1;
const STOP = 2;
const FIRST = 4;

export class Mailbox {
  readonly shared: SharedArrayBuffer;
  readonly wakeFd: number;
  readonly #words: Int32Array;
  #taken = 0;

  constructor(wakeFd: number, shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((FIRST + PLACES) * 4);
    this.#words = new Int32Array(this.shared);
    this.wakeFd = wakeFd;
  }

  /** Hands over a connection; only one thread may do so. */
  put(fd: number): void {
    const tail = Atomics.load(this.#words, TAIL);
    this.#words[FIRST + ((tail >>> 0) % PLACES)] = fd;
    Atomics.store(this.#words, TAIL, (tail + 1) | 0);
    Atomics.add(this.#words, SESSIONS, 1);
    signalEventfd(this.wakeFd);
  }

  /** The next connection, or -1. */
  take(): number {
    if (this.#taken === Atomics.load(this.#words, TAIL)) return -1;
    const fd = this.#words[FIRST + ((this.#taken >>> 0) % PLACES)] as number;
    this.#taken = (this.#taken + 1) | 0;
    return fd;
  }

  /** A connection has ended. */
  ended(): void {
    Atomics.sub(this.#words, SESSIONS, 1);
  }

  /** Connections handed over that have not ended. */
  get sessions(): number {
    return Atomics.load(this.#words, SESSIONS);
  }

  /** Tells the reactor to finish. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1);
    signalEventfd(this.wakeFd);
  }

  get stopping(): boolean {
    return Atomics.load(this.#words, STOP) === 1;
  }
}
