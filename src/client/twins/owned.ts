/**
 * Sockets that processes here have bound: their connections from here go directly, as the
 * kernel has them, those from the HOST through the twin process. The kernel forgets such an
 * inode when its socket is closed, as soon as no name keeps it: so it is made to forget the
 * names at once, each time it has learned one.
 */
import type { Attributes } from "../../wire/attributes.ts";
import { keyOf, type Node } from "./channel.ts";
import type { Parked } from "./parked.ts";

export interface Owned {
  readonly node: Node;
  readonly channel: number;
  /** SOCK_* */
  readonly type: number;
  /** Of the HOST's listener. */
  key: number;
  /** What the kernel was told of it last; undefined after another process's time. */
  attributes: Attributes | undefined;
  /** Where it was found last. */
  parent: Node;
  name: string;
  /** Lookups that found its inode again after the kernel had forgotten it. */
  waiting: Parked[];
}

export class OwnedSockets {
  readonly #byNode = new Map<string, Owned>();
  readonly #byPlace = new Map<string, Owned>();
  readonly #byInode = new Map<string, Owned>();

  get count(): number {
    return this.#byNode.size;
  }

  all(): Owned[] {
    return [...this.#byNode.values()];
  }

  of(node: Node): Owned | undefined {
    return this.#byNode.get(keyOf(node));
  }

  /** The one that was found there last. */
  at(parent: Node, name: string): Owned | undefined {
    return this.#byPlace.get(placeKey(parent, name));
  }

  /** The one that is of the inode with those attributes, by whichever node it was known. */
  ofInode(channel: number, attributes: Attributes): Owned | undefined {
    return this.#byInode.get(inodeKey(channel, attributes));
  }

  add(owned: Owned): void {
    this.remove(owned.node);
    this.#byNode.set(keyOf(owned.node), owned);
    if (owned.attributes !== undefined) this.describe(owned, owned.attributes);
    this.#byPlace.set(placeKey(owned.parent, owned.name), owned);
  }

  /** The kernel is told those attributes of it. */
  describe(owned: Owned, attributes: Attributes): void {
    this.#leaveInode(owned);
    owned.attributes = { ...attributes };
    this.#byInode.set(inodeKey(owned.channel, attributes), owned);
  }

  /** It was found there. */
  found(owned: Owned, parent: Node, name: string): void {
    this.#leavePlace(owned);
    owned.parent = parent;
    owned.name = name;
    this.#byPlace.set(placeKey(parent, name), owned);
  }

  remove(node: Node): void {
    const owned = this.of(node);
    if (owned === undefined) return;
    this.#byNode.delete(keyOf(node));
    this.#leavePlace(owned);
    this.#leaveInode(owned);
  }

  clear(): void {
    this.#byNode.clear();
    this.#byPlace.clear();
    this.#byInode.clear();
  }

  #leaveInode(owned: Owned): void {
    if (owned.attributes === undefined) return;
    const key = inodeKey(owned.channel, owned.attributes);
    if (this.#byInode.get(key) === owned) this.#byInode.delete(key);
  }

  #leavePlace(owned: Owned): void {
    const key = placeKey(owned.parent, owned.name);
    if (this.#byPlace.get(key) === owned) this.#byPlace.delete(key);
  }
}

function placeKey(parent: Node, name: string): string {
  return `${keyOf(parent)}/${name}`;
}

function inodeKey(channel: number, { inoHigh, inoLow }: Attributes): string {
  return `${channel}/${inoHigh}/${inoLow}`;
}
