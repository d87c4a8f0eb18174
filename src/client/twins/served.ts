/**
 * Sockets that listen on the HOST and are served here by the twin process, as the mount's
 * thread knows them. Whoever looks one up waits until its twin listens, or does no more.
 */
import type { Attributes } from "../../wire/attributes.ts";
import { TWINS_MAX } from "../../wire/limits.ts";
import { keyOf, type Node } from "./channel.ts";
import type { Parked } from "./parked.ts";

/** What the twin process has of a socket. */
export const Stage = {
  /** It was asked to listen. */
  OPENING: 0,
  /** It listens. */
  OPEN: 1,
  /** It was asked to listen no more. */
  CLOSING: 2,
} as const;

export interface Served {
  readonly node: Node;
  readonly channel: number;
  /** SOCK_* of what listens on the HOST. */
  type: number;
  stage: number;
  attributes: Attributes | undefined;
  /** Where it was found, for its path. */
  readonly parent: Node;
  readonly name: string;
  /** Answers that wait for it. */
  readonly waiting: Parked[];
  /** Answers to who was let go on, and is asked for permissions: they may wait as well. */
  readonly asking: Parked[];
}

export class ServedSockets {
  readonly #byNode = new Map<string, Served>();

  get count(): number {
    return this.#byNode.size;
  }

  all(): Served[] {
    return [...this.#byNode.values()];
  }

  of(node: Node): Served | undefined {
    return this.#byNode.get(keyOf(node));
  }

  /** Adds one; false where there are too many. */
  add(served: Served): boolean {
    if (this.#byNode.size >= TWINS_MAX) return false;
    this.#byNode.set(keyOf(served.node), served);
    return true;
  }

  remove(node: Node): void {
    this.#byNode.delete(keyOf(node));
  }

  clear(): void {
    this.#byNode.clear();
  }
}
