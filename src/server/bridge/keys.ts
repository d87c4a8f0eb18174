/**
 * What streams may be opened to: descriptors that reactors have handed over, each under a
 * key that only the mount's session which asked for it may use. Keys are random: who
 * guesses one of another session gains nothing, for the owner must be the same.
 */
import { close } from "../../sys/open.ts";

export interface Twin {
  readonly key: number;
  readonly fd: number;
  /** `What` of box.ts. */
  readonly what: number;
  /** SOCK_*, or 0. */
  readonly type: number;
  readonly owner: number;
}

export class Keys {
  readonly #twins = new Map<number, Twin>();
  readonly #byOwner = new Map<number, Set<number>>();

  get size(): number {
    return this.#twins.size;
  }

  /** Enters a descriptor, which is the table's from now on. */
  add(twin: Twin): void {
    this.#twins.set(twin.key, twin);
    const keys = this.#byOwner.get(twin.owner);
    if (keys === undefined) this.#byOwner.set(twin.owner, new Set([twin.key]));
    else keys.add(twin.key);
  }

  /** What `key` stands for in sessions of `owner`, as `what`; undefined: nothing. */
  find(owner: number, key: unknown, what: number): Twin | undefined {
    const twin = typeof key === "number" ? this.#twins.get(key) : undefined;
    return twin?.owner === owner && twin.what === what ? twin : undefined;
  }

  /** Whether `owner` has such a key. */
  has(owner: number, key: number): boolean {
    return this.#twins.get(key)?.owner === owner;
  }

  /** Takes a key out and closes its descriptor; what it was. */
  remove(owner: number, key: number): Twin | undefined {
    const twin = this.#twins.get(key);
    if (twin?.owner !== owner) return undefined;
    this.#twins.delete(key);
    this.#byOwner.get(owner)?.delete(key);
    close(twin.fd);
    return twin;
  }

  /** All that `owner` has. */
  of(owner: number): Twin[] {
    const keys = this.#byOwner.get(owner) ?? [];
    return [...keys].flatMap((key) => this.#twins.get(key) ?? []);
  }

  /** Takes out all that `owner` has. */
  removeAll(owner: number): void {
    for (const { key } of this.of(owner)) this.remove(owner, key);
    this.#byOwner.delete(owner);
  }
}
