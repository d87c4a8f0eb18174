/** Sessions with servers for what is done on the HOST, kept from one call to the next. */
import { Unreachable } from "../client/connect.ts";
import { HostCalls, type HostSession } from "../client/hostcalls.ts";
import type { Share } from "../onhost/places.ts";
import { type Address, parseAddress } from "../transport/address.ts";

/** How long a server may take to say hello. */
const GREETING_MS = 10_000;
/** How long it may take to be there again. */
const AWAY_MS = 30_000;
const RETRY_MS = 100;

/** What outlives this process, of the call that it is at. */
export interface Keeping {
  /** Session of the request made last, where one was made. */
  readonly left: HostSession | undefined;
  /** Requests made for the call before that one. */
  readonly done: number;
  keep(session: HostSession): void;
}

export class Sessions {
  readonly #keeping: Keeping;
  readonly #isWanted: () => boolean;
  readonly #calls = new Map<string, HostCalls>();
  /** Requests that a process before this one made for the call, and that are not to be made again. */
  #done = 0;
  #left: HostSession | undefined;

  /** `isWanted`: whether anybody waits for what is asked. */
  constructor(keeping: Keeping, isWanted: () => boolean) {
    this.#keeping = keeping;
    this.#isWanted = isWanted;
  }

  /** A call begins, which a process that died may have begun before. */
  begin(): void {
    this.#done = this.#keeping.done;
    this.#left = this.#keeping.left;
  }

  /** Asks a share's server; 0 where a process before us had its answer. Throws a sentence. */
  ask<T>(share: Share, request: (calls: HostCalls) => T): T | 0 {
    if (this.#done > 0) {
      this.#done--;
      return 0;
    }
    const calls = this.#of(share);
    const left = this.#left;
    this.#left = undefined;
    if (left !== undefined) calls.goOn(left);
    return request(calls);
  }

  /** A new session. A server that is being started anew is waited for. */
  #attach(addresses: readonly Address[], source: string): HostCalls {
    const endMs = Date.now() + AWAY_MS;
    while (true) {
      try {
        return new HostCalls(addresses, source, GREETING_MS);
      } catch (error) {
        const waits = error instanceof Unreachable && Date.now() < endMs;
        if (!waits || !this.#isWanted()) throw error;
        Bun.sleepSync(RETRY_MS);
      }
    }
  }

  #of({ server, source }: Share): HostCalls {
    const key = `${server} ${source}`;
    const known = this.#calls.get(key);
    if (known?.isConnected) return known;
    // Nothing was asked meanwhile: whoever is there now will do.
    known?.close();
    const addresses = server.split(", ").map(parseAddress);
    const calls = this.#attach(addresses, source);
    calls.keep = (session) => this.#keeping.keep(session);
    this.#calls.set(key, calls);
    return calls;
  }
}
