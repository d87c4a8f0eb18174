/** Descriptors of inodes used lately, a ring swept by a clock hand: which ones are kept open. */
import { close } from "../sys/open.ts";
import type { NodeTable } from "./nodes.ts";

/** Descriptors kept for one session. */
export const CACHED_FDS_MAX = 4096;
const NONE = -1;

export class FdRing {
  readonly #nodes: NodeTable;
  /** Told of a row whose descriptor is about to be closed though the row goes on. */
  readonly #losing: (row: number, fd: number) => void;
  /** Rows that have a place. */
  readonly #rows = new Int32Array(CACHED_FDS_MAX).fill(NONE);
  readonly #used = new Uint8Array(CACHED_FDS_MAX);
  #hand = 0;
  /** Rows whose descriptors are in use and must not be evicted, or -1. */
  #pinned = NONE;
  #pinnedToo = NONE;

  constructor(nodes: NodeTable, losing: (row: number, fd: number) => void) {
    this.#nodes = nodes;
    this.#losing = losing;
  }

  /** The descriptor of `row` is about to be used. */
  use(row: number): void {
    const place = this.#nodes.cacheSlot[row] as number;
    if (place >= 0) this.#used[place] = 1;
  }

  /** Keeps the descriptors of two rows (-1: of none), until the next call. */
  pin(row: number, another: number): void {
    this.#pinned = row;
    this.#pinnedToo = another;
  }

  /** Keeps `fd` for `row`, in the place of one that was not used for longest. */
  put(row: number, fd: number): void {
    while ((this.#rows[this.#hand] as number) !== NONE) {
      const there = this.#rows[this.#hand];
      const pinned = there === this.#pinned || there === this.#pinnedToo;
      if (this.#used[this.#hand] === 0 && !pinned) {
        this.#evict(this.#hand, true);
        break;
      }
      this.#used[this.#hand] = 0;
      this.#advance();
    }
    this.#rows[this.#hand] = row;
    this.#used[this.#hand] = 1;
    this.#nodes.fd[row] = fd;
    this.#nodes.cacheSlot[row] = this.#hand;
    this.#advance();
  }

  /** Closes the descriptor of `row`, which goes on. */
  letGo(row: number): void {
    const place = this.#nodes.cacheSlot[row] as number;
    if (place >= 0) this.#evict(place, true);
  }

  /** Closes the descriptor of `row`, which ends. */
  drop(row: number): void {
    const place = this.#nodes.cacheSlot[row] as number;
    if (place >= 0) this.#evict(place, false);
  }

  /** Closes all. */
  close(): void {
    for (let place = 0; place < CACHED_FDS_MAX; place++) {
      if ((this.#rows[place] as number) >= 0) this.#evict(place, false);
    }
  }

  #advance(): void {
    this.#hand = (this.#hand + 1) % CACHED_FDS_MAX;
  }

  #evict(place: number, goesOn: boolean): void {
    const row = this.#rows[place] as number;
    const fd = this.#nodes.fd[row] as number;
    if (goesOn) this.#losing(row, fd);
    close(fd);
    this.#nodes.fd[row] = NONE;
    this.#nodes.cacheSlot[row] = NONE;
    this.#rows[place] = NONE;
  }
}
