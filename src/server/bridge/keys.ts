/**
 * What streams may be opened to: descriptors that the server has handed over, each under a
 * key that only the mount's session which asked for it may use.
 */
import { pread } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { SOCKET_NAME_MAX } from "../../wire/limits.ts";

export interface Twin {
  readonly key: number;
  readonly fd: number;
  /** `What` of messages.ts. */
  readonly what: number;
  /** SOCK_*, or 0. */
  readonly type: number;
  readonly owner: string;
  /** Of What.NAME: a byte a character. */
  readonly name: string;
}

const text = allocate(SOCKET_NAME_MAX);

/** The abstract name that a file in memory has; "" where it has none. */
export function nameIn(fd: number): string {
  return text.bytes.latin1Slice(0, Math.max(0, pread(fd, text.address, SOCKET_NAME_MAX, 0)));
}

export class Keys {
  readonly #byOwner = new Map<string, Map<number, Twin>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** How many `owner` has. */
  count(owner: string): number {
    return this.#byOwner.get(owner)?.size ?? 0;
  }

  /** Those who have any. */
  owners(): string[] {
    return [...this.#byOwner.keys()];
  }

  /** Enters a descriptor, which is the table's from now on, under a key that its owner does not have. */
  add(twin: Twin): void {
    const keys = this.#byOwner.get(twin.owner) ?? new Map<number, Twin>();
    this.#byOwner.set(twin.owner, keys);
    keys.set(twin.key, twin);
    this.#size++;
  }

  /** What `key` stands for in sessions of `owner`, as `what`; undefined: nothing. */
  find(owner: string, key: unknown, what: number): Twin | undefined {
    const twin = typeof key === "number" ? this.#byOwner.get(owner)?.get(key) : undefined;
    return twin?.what === what ? twin : undefined;
  }

  /** Whether `owner` has such a key. */
  has(owner: string, key: number): boolean {
    return this.#byOwner.get(owner)?.has(key) ?? false;
  }

  /** Takes a key out and closes its descriptor. */
  remove(owner: string, key: number): void {
    const keys = this.#byOwner.get(owner);
    const twin = keys?.get(key);
    if (keys === undefined || twin === undefined) return;
    keys.delete(key);
    if (keys.size === 0) this.#byOwner.delete(owner);
    this.#size--;
    close(twin.fd);
  }

  /** All that `owner` has. */
  of(owner: string): Twin[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }
}
