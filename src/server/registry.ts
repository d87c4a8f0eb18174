/**
 * Which reactor has which session: a table that all reactors share, because a
 * client that comes back arrives at any of them. It also keeps the number of
 * sessions within SESSIONS_MAX: where there is no room for a new one, the one
 * that has been without a connection for longest gives its row away.
 *
 * A session's id is a secret; with the peer's user id it is the key here, so
 * that nobody finds another user's session, nor that there is one.
 */
import { SESSIONS_MAX } from "../wire/limits.ts";

const LOCK = 0;
const CLOCK = 1;
const FIRST = 2;
/** Words of a row. */
const STATE = 0;
const OWNER = 1;
/** How often the row was used: a session whose row was given away knows it by this. */
const USE = 2;
/** When its session lost its connection, in ticks of the clock. */
const SINCE = 3;
const UID = 4;
const ID = 5;
const ID_WORDS = 4;
const ROW = ID + ID_WORDS;

const FREE = 0;
const CONNECTED = 1;
const DETACHED = 2;

/** A row, as the session has it that the row was given to. */
export interface Place {
  readonly row: number;
  readonly use: number;
}

/** What the bridge knows a session by, in every process of the server's. */
export function ownerOf(id: string, uid: number): string {
  return `${uid}:${id}`;
}

/** What `enter` finds: a place, the reactor that has the session already, or no room. */
export type Entered =
  | { kind: "new"; place: Place; evictedFrom: number | undefined }
  | { kind: "known"; owner: number }
  | { kind: "full" };

export class Registry {
  readonly shared: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(shared?: SharedArrayBuffer) {
    this.shared = shared ?? new SharedArrayBuffer((FIRST + SESSIONS_MAX * ROW) * 4);
    this.#words = new Int32Array(this.shared);
  }

  /** Where the session with this key is; undefined where there is none. */
  find(id: string, uid: number): Place | undefined {
    return this.#locked(() => {
      for (let row = 0; row < SESSIONS_MAX; row++) {
        if (this.#get(row, STATE) !== FREE && this.#isKey(row, id, uid)) {
          return { row, use: this.#get(row, USE) };
        }
      }
      return undefined;
    });
  }

  /** Enters a session of `owner` unless there is one with this key. */
  enter(id: string, uid: number, owner: number): Entered {
    return this.#locked(() => {
      let found = -1;
      let longest = 0;
      for (let row = 0; row < SESSIONS_MAX; row++) {
        const state = this.#get(row, STATE);
        if (state !== FREE && this.#isKey(row, id, uid)) {
          return { kind: "known", owner: this.#get(row, OWNER) };
        }
        if (state === CONNECTED || (found >= 0 && this.#get(found, STATE) === FREE)) continue;
        // A free row is best; else the one whose connection went first.
        const since = state === FREE ? Number.MIN_SAFE_INTEGER : this.#get(row, SINCE);
        if (found < 0 || since < longest) {
          found = row;
          longest = since;
        }
      }
      if (found < 0) return { kind: "full" };
      const wasFree = this.#get(found, STATE) === FREE;
      const evictedFrom = wasFree ? undefined : this.#get(found, OWNER);
      return { kind: "new", place: this.#fill(found, id, uid, owner), evictedFrom };
    });
  }

  /** The session at `place` has a connection again; false when its row was given away. */
  attach(place: Place): boolean {
    return this.#locked(() => this.#isHeld(place) && this.#set(place.row, STATE, CONNECTED));
  }

  /** It has lost its connection. */
  detach(place: Place): void {
    this.#locked(() => {
      if (!this.#isHeld(place)) return;
      this.#words[CLOCK] = ((this.#words[CLOCK] as number) + 1) | 0;
      this.#set(place.row, SINCE, this.#words[CLOCK] as number);
      this.#set(place.row, STATE, DETACHED);
    });
  }

  /** It has ended. */
  leave(place: Place): void {
    this.#locked(() => {
      if (!this.#isHeld(place)) return;
      this.#set(place.row, STATE, FREE);
      this.#set(place.row, USE, this.#get(place.row, USE) + 1);
    });
  }

  /** Whether `place` is still its session's. */
  holds(place: Place): boolean {
    return this.#locked(() => this.#isHeld(place));
  }

  #fill(row: number, id: string, uid: number, owner: number): Place {
    const use = this.#get(row, USE) + 1;
    this.#set(row, USE, use);
    this.#set(row, OWNER, owner);
    this.#set(row, UID, uid | 0);
    for (let i = 0; i < ID_WORDS; i++) this.#set(row, ID + i, idWord(id, i));
    this.#set(row, STATE, CONNECTED);
    return { row, use };
  }

  #isKey(row: number, id: string, uid: number): boolean {
    if (this.#get(row, UID) !== (uid | 0)) return false;
    for (let i = 0; i < ID_WORDS; i++) {
      if (this.#get(row, ID + i) !== idWord(id, i)) return false;
    }
    return true;
  }

  #isHeld(place: Place): boolean {
    return this.#get(place.row, USE) === place.use;
  }

  #get(row: number, word: number): number {
    return this.#words[FIRST + row * ROW + word] as number;
  }

  #set(row: number, word: number, value: number): boolean {
    this.#words[FIRST + row * ROW + word] = value;
    return true;
  }

  /** One pass over the table at most: nobody waits here longer than that. */
  #locked<T>(work: () => T): T {
    const words = this.#words;
    while (Atomics.compareExchange(words, LOCK, 0, 1) !== 0) Atomics.wait(words, LOCK, 1);
    try {
      return work();
    } finally {
      Atomics.store(words, LOCK, 0);
      Atomics.notify(words, LOCK, 1);
    }
  }
}

/** Word `i` of an id of 32 hexadecimal digits. */
function idWord(id: string, i: number): number {
  return Number.parseInt(id.slice(i * 8, i * 8 + 8), 16) | 0;
}
