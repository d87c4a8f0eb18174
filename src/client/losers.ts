/**
 * Files that have lost one of their names of late. When a name goes the kernel takes
 * one off its own count of an inode's links, once whoever asked for it runs again
 * (fs/fuse/dir.c: fuse_entry_unlinked). What it was told about that inode in between
 * has the new count already, so that it counts the loss twice: an inode it then believes
 * to have no name cannot be linked (fs/namei.c: vfs_link, ENOENT).
 *
 * A request that came before the loss was told is therefore answered with the count
 * before it. If the kernel has taken the name off by then, it finds the answer to be
 * older than that and drops it (fuse_change_attributes). One that came a moment later may
 * still be too early; its name is not to be believed, so that the kernel asks again.
 */
import type { Attributes } from "../wire/attributes.ts";
import { nodeKey } from "./nodekey.ts";

/** The kernel has long taken the name off after this. */
const LOST_NS = 1e9;
const LOSSES_MAX = 64;

export class Losers {
  readonly #keys = new Float64Array(LOSSES_MAX);
  /** Requests that had been asked when the loss was told. */
  readonly #asked = new Float64Array(LOSSES_MAX);
  readonly #atNs = new Float64Array(LOSSES_MAX);
  #next = 0;
  #lastNs = -LOST_NS;

  /** Whether there may be any. */
  get active(): boolean {
    return this.#lastNs >= 0;
  }

  /** The kernel is about to be told that a node, which has other names, has lost one. */
  note(asked: number, high: number, low: number): void {
    const at = this.#next;
    this.#next = (at + 1) % LOSSES_MAX;
    this.#lastNs = Bun.nanoseconds();
    this.#keys[at] = nodeKey(high, low);
    this.#asked[at] = asked;
    this.#atNs[at] = this.#lastNs;
  }

  /**
   * Makes `attributes` of a node those that the request which was asked as number `order`
   * is to be answered with; whether the node has lost a name of late.
   */
  correct(order: number, high: number, low: number, attributes: Attributes): boolean {
    const sinceNs = Bun.nanoseconds() - LOST_NS;
    if (this.#lastNs < sinceNs) {
      this.clear();
      return false;
    }
    const key = nodeKey(high, low);
    let any = false;
    for (let i = 0; i < LOSSES_MAX; i++) {
      if (this.#keys[i] !== key || (this.#atNs[i] as number) < sinceNs) continue;
      any = true;
      if (order <= (this.#asked[i] as number)) attributes.nlink++;
    }
    return any;
  }

  clear(): void {
    this.#keys.fill(0);
    this.#lastNs = -LOST_NS;
  }
}
