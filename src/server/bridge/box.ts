/**
 * What reactors tell the bridge's thread: a ring in shared memory and a wake-up. Any
 * number of threads may tell (mailbox.ts is the model). What finds no room waits with
 * its sender, in order.
 */
import { signalEventfd } from "../../sys/poll.ts";

/** Messages that may be on their way. */
const PLACES = 4096;
const TAIL = 0;
const HEAD = 1;
const FIRST = 2;
/** Words of a place: kind (0: not full yet), descriptor, what, type, key, owner in halves. */
const PLACE = 8;
const TWO_32 = 0x1_0000_0000;

export const BoxKind = {
  /** `fd`, owned by the bridge from now on, can be had by `key` in sessions of `owner`. */
  ADD: 1,
  /** The key is no more. */
  REMOVE: 2,
  /** The mount's session `owner` has ended, with all its keys. */
  ENDED: 3,
  /** Its client's process for streams has ended, and what it has open with it. */
  CUT: 4,
} as const;

/** What a key stands for. */
export const What = {
  /** A socket or FIFO of the HOST's, O_PATH. */
  NODE: 1,
  /** A socket that was bound for the DPU, and listens where its type does. */
  LISTENER: 2,
  /** A file or directory opened to be passed on. */
  FILE: 3,
} as const;

export interface BoxMessage {
  kind: number;
  fd: number;
  /** What, and type of a socket (SOCK_*) or 0. */
  what: number;
  type: number;
  key: number;
  owner: number;
}

export class BridgeBox {
  readonly shared: SharedArrayBuffer;
  readonly #wakeFd: number;
  readonly #words: Int32Array;
  #waiting: BoxMessage[] = [];

  /** `wakeFd`: what wakes the bridge's thread. */
  constructor(wakeFd: number, shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((FIRST + PLACES * PLACE) * 4);
    this.#words = new Int32Array(this.shared);
    this.#wakeFd = wakeFd;
  }

  /** Tells `message`, unless there is no room now. */
  offer(message: BoxMessage): boolean {
    return this.flush() && this.#put(message);
  }

  /** Tells `message`, later if there is no room now: `flush`. */
  tell(message: BoxMessage): void {
    if (!this.offer(message)) this.#waiting.push(message);
  }

  /** Tells what waits here; whether nothing does any more. */
  flush(): boolean {
    let told = 0;
    for (const message of this.#waiting) {
      if (!this.#put(message)) break;
      told++;
    }
    if (told > 0) this.#waiting = this.#waiting.slice(told);
    return this.#waiting.length === 0;
  }

  #put(message: BoxMessage): boolean {
    const words = this.#words;
    let tail = Atomics.load(words, TAIL);
    while (true) {
      if (((tail - Atomics.load(words, HEAD)) | 0) >= PLACES) return false;
      const seen = Atomics.compareExchange(words, TAIL, tail, (tail + 1) | 0);
      if (seen === tail) break;
      tail = seen;
    }
    const at = FIRST + ((tail >>> 0) % PLACES) * PLACE;
    words[at + 1] = message.fd;
    words[at + 2] = message.what;
    words[at + 3] = message.type;
    words[at + 4] = Math.floor(message.key / TWO_32);
    words[at + 5] = (message.key % TWO_32) | 0;
    words[at + 6] = Math.floor(message.owner / TWO_32);
    words[at + 7] = (message.owner % TWO_32) | 0;
    Atomics.store(words, at, message.kind);
    signalEventfd(this.#wakeFd);
    return true;
  }

  /** The next message; for the bridge's thread alone. */
  take(): BoxMessage | undefined {
    const words = this.#words;
    const head = words[HEAD] as number;
    const at = FIRST + ((head >>> 0) % PLACES) * PLACE;
    const kind = Atomics.load(words, at);
    // Nothing, or taken and not filled yet: that comes with a wake-up.
    if (kind === 0) return undefined;
    const number = (word: number) =>
      (words[at + word] as number) * TWO_32 + ((words[at + word + 1] as number) >>> 0);
    const message = {
      kind,
      fd: words[at + 1] as number,
      what: words[at + 2] as number,
      type: words[at + 3] as number,
      key: number(4),
      owner: number(6),
    };
    Atomics.store(words, at, 0);
    Atomics.store(words, HEAD, (head + 1) | 0);
    return message;
  }
}
