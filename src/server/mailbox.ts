/**
 * Connections handed to a reactor, by the acceptor and by other reactors: a ring
 * in shared memory and a wake-up. A place is taken with compare-and-exchange,
 * filled, and then marked as full, so any number of threads may hand over.
 */
import { signalEventfd } from "../sys/poll.ts";
import { HELLO_MAX } from "../wire/limits.ts";

/** Connections that may be on their way to one reactor. */
const PLACES = 256;
const TAIL = 0;
const HEAD = 1;
const CONNECTIONS = 2;
const STOP = 3;
const IDENTITIES = 4;
const FIRST = 5;
/**
 * Words of a place: descriptor + 1 (0: not full yet), the length of its HELLO, and the two
 * halves of the address of its end of TLS (0: none).
 */
const PLACE = 4;
const HALF = 2 ** 32;

/** A connection, with the header of its HELLO if another reactor has read it. */
export interface Arrival {
  fd: number;
  /** Its end of TLS, at an address (TlsEnd.at); 0 for none. */
  tls: number;
  hello: Uint8Array | undefined;
}

export class Mailbox {
  readonly shared: SharedArrayBuffer;
  readonly wakeFd: number;
  readonly #words: Int32Array;
  readonly #hellos: Uint8Array;

  constructor(wakeFd: number, shared?: SharedArrayBuffer) {
    const words = FIRST + PLACES * PLACE;
    this.shared = shared ?? new SharedArrayBuffer(words * 4 + PLACES * HELLO_MAX);
    this.#words = new Int32Array(this.shared, 0, words);
    this.#hellos = new Uint8Array(this.shared, words * 4);
    this.wakeFd = wakeFd;
  }

  /** Hands over a connection; false when there are too many on their way. */
  put({ fd, tls = 0 }: { fd: number; tls?: number }, hello?: Uint8Array): boolean {
    const words = this.#words;
    let tail = Atomics.load(words, TAIL);
    while (true) {
      if (((tail - Atomics.load(words, HEAD)) | 0) >= PLACES) return false;
      const seen = Atomics.compareExchange(words, TAIL, tail, (tail + 1) | 0);
      if (seen === tail) break;
      tail = seen;
    }
    const place = (tail >>> 0) % PLACES;
    const at = FIRST + place * PLACE;
    words[at + 1] = hello?.length ?? 0;
    words[at + 2] = (tls % HALF) | 0;
    words[at + 3] = Math.floor(tls / HALF);
    if (hello !== undefined) this.#hellos.set(hello, place * HELLO_MAX);
    Atomics.add(words, CONNECTIONS, 1);
    Atomics.store(words, at, fd + 1);
    signalEventfd(this.wakeFd);
    return true;
  }

  /** The next connection; for the reactor alone. */
  take(): Arrival | undefined {
    const words = this.#words;
    const head = words[HEAD] as number;
    const place = (head >>> 0) % PLACES;
    const at = FIRST + place * PLACE;
    const fd = Atomics.load(words, at) - 1;
    // Nothing, or taken and not filled yet: that comes with a wake-up.
    if (fd < 0) return undefined;
    const length = words[at + 1] as number;
    const hello =
      length > 0 ? this.#hellos.slice(place * HELLO_MAX, place * HELLO_MAX + length) : undefined;
    const tls = ((words[at + 2] as number) >>> 0) + (words[at + 3] as number) * HALF;
    Atomics.store(words, at, 0);
    Atomics.store(words, HEAD, (head + 1) | 0);
    return { fd, tls, hello };
  }

  /** Asks the reactor to look after its sessions. */
  wake(): void {
    signalEventfd(this.wakeFd);
  }

  /** Has the reactor look whether its clients may still be there. */
  identitiesChanged(): void {
    Atomics.add(this.#words, IDENTITIES, 1);
    signalEventfd(this.wakeFd);
  }

  /** How often that was. */
  get identityChanges(): number {
    return Atomics.load(this.#words, IDENTITIES);
  }

  /** A connection has ended, or was handed on. */
  ended(): void {
    Atomics.sub(this.#words, CONNECTIONS, 1);
  }

  /** Connections handed over that have not ended. */
  get connections(): number {
    return Atomics.load(this.#words, CONNECTIONS);
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
