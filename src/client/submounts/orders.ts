/**
 * What main has the mount's thread do about the superblocks beside the first one: a
 * ring in shared memory and a wake-up, because that thread never looks at messages.
 */
import { CHANNELS_MAX } from "../../fuse/channels.ts";
import { drainEventfd, signalEventfd } from "../../sys/poll.ts";

/** Each channel is opened and closed before the next one of its number. */
const PLACES = 2 * CHANNELS_MAX;
const TAIL = 0;
const HEAD = 1;
const FIRST = 2;
/** Words of an order: kind, channel, descriptor, mount. */
const WORDS = 4;

/**
 * OPEN: `fd` is the channel of the HOST's mount `mount`, whose root is to be asked for.
 * CLOSE: the channel is no more. TWINS: `fd` leads to another twin process, or -1: there is none.
 */
export const OrderKind = { OPEN: 1, CLOSE: 2, TWINS: 3 } as const;

export interface Order {
  kind: number;
  channel: number;
  fd: number;
  /** Number of the HOST's mount. */
  mount: number;
}

export class Orders {
  readonly shared: SharedArrayBuffer;
  readonly wakeFd: number;
  readonly #words: Int32Array;

  constructor(wakeFd: number, shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((FIRST + PLACES * WORDS) * 4);
    this.#words = new Int32Array(this.shared);
    this.wakeFd = wakeFd;
  }

  /** Gives an order. For main alone. */
  put({ kind, channel, fd, mount }: Order): void {
    const words = this.#words;
    const tail = Atomics.load(words, TAIL);
    if (((tail - Atomics.load(words, HEAD)) | 0) >= PLACES) {
      throw new Error("The mount's thread does not take its orders");
    }
    words.set([kind, channel, fd, mount], FIRST + ((tail >>> 0) % PLACES) * WORDS);
    Atomics.store(words, TAIL, (tail + 1) | 0);
    signalEventfd(this.wakeFd);
  }

  /** Whether there are any. */
  get any(): boolean {
    return Atomics.load(this.#words, TAIL) !== this.#words[HEAD];
  }

  /** Has been woken. */
  drain(): void {
    drainEventfd(this.wakeFd);
  }

  /** The next order. For the mount's thread alone. */
  take(): Order | undefined {
    const words = this.#words;
    const head = words[HEAD] as number;
    if (Atomics.load(words, TAIL) === head) return undefined;
    const at = FIRST + ((head >>> 0) % PLACES) * WORDS;
    const [kind = 0, channel = 0, fd = 0, mount = 0] = words.subarray(at, at + 4);
    Atomics.store(words, HEAD, (head + 1) | 0);
    return { kind, channel, fd, mount: mount >>> 0 };
  }
}
