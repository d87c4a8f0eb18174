/** Nodes on which some process of ours holds range locks; they outlive the process (record.ts). */
import { type ClientRecord, Head, LOCKED_MAX } from "./record.ts";

export class LockedNodes {
  readonly #record: ClientRecord;
  readonly #places = new Map<number, number>();

  constructor(record: ClientRecord) {
    this.#record = record;
    for (let i = 0; i < record.get(Head.LOCKED_COUNT); i++) {
      this.#places.set(record.locked[i] as number, i);
    }
  }

  get size(): number {
    return this.#places.size;
  }

  /** Whether the node may have locks: true of all once there were too many to remember. */
  has(node: number): boolean {
    return this.#places.has(node) || this.#record.get(Head.LOCKED_ALL) !== 0;
  }

  add(node: number): void {
    if (this.#places.has(node)) return;
    const count = this.#record.get(Head.LOCKED_COUNT);
    if (count === LOCKED_MAX) {
      this.#record.set(Head.LOCKED_ALL, 1);
      return;
    }
    this.#record.locked[count] = node;
    this.#record.set(Head.LOCKED_COUNT, count + 1);
    this.#places.set(node, count);
  }

  delete(node: number): void {
    const place = this.#places.get(node);
    if (place === undefined) return;
    const last = this.#record.get(Head.LOCKED_COUNT) - 1;
    const moved = this.#record.locked[last] as number;
    // Twice for a moment, never missing.
    this.#record.locked[place] = moved;
    this.#places.set(moved, place);
    this.#record.set(Head.LOCKED_COUNT, last);
    this.#places.delete(node);
  }

  clear(): void {
    this.#places.clear();
    this.#record.set(Head.LOCKED_COUNT, 0);
    this.#record.set(Head.LOCKED_ALL, 0);
  }
}
