/** Sessions with servers for what is done on the HOST, kept from one call to the next. */
import { HostCalls, type HostSession } from "../client/hostcalls.ts";
import type { Share } from "../onhost/places.ts";
import { parseAddress } from "../transport/address.ts";

/** How long a server may take to say hello. */
const GREETING_MS = 10_000;

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
  readonly #calls = new Map<string, HostCalls>();
  /** Requests that a process before this one made for the call, and that are not to be made again. */
  #done = 0;
  #left: HostSession | undefined;

  constructor(keeping: Keeping) {
    this.#keeping = keeping;
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

  #of({ server, source }: Share): HostCalls {
    const key = `${server} ${source}`;
    const known = this.#calls.get(key);
    if (known?.isConnected) return known;
    // Nothing was asked meanwhile: whoever is there now will do.
    known?.close();
    const addresses = server.split(", ").map(parseAddress);
    const calls = new HostCalls(addresses, source, GREETING_MS);
    calls.keep = (session) => this.#keeping.keep(session);
    this.#calls.set(key, calls);
    return calls;
  }
}
