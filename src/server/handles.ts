/**
 * Files that a session has open: columns again, and a list of the handles of
 * each inode, because any of them serves to reach it after its last name went.
 */
import { close } from "../sys/open.ts";
import { HANDLES_MAX } from "../wire/limits.ts";
import type { NodeTable } from "./nodes.ts";

const NONE = -1;
const ROWS_AT_FIRST = 256;

/** What the server remembers of how a file was opened. */
export const HandleFlag = {
  WRITABLE: 0x1,
  /** Written through this handle since it was opened. */
  WROTE: 0x2,
  /** Every write reaches the disk before it is answered: all, or only its data. */
  SYNC: 0x4,
  DSYNC: 0x8,
  /** Readable, and its size can be relied on: sendfile(2) gives what was promised. */
  SENDABLE: 0x10,
  /** Every write goes to the end of the file, wherever the client thinks that is. */
  APPEND: 0x20,
} as const;

export class HandleTable {
  fd = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  node = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  flags = new Uint8Array(ROWS_AT_FIRST);
  /** Calls in other threads that use the descriptor now. */
  busy = new Uint8Array(ROWS_AT_FIRST);
  /** Released while busy: closed when the last of them ends. */
  #ended = new Uint8Array(ROWS_AT_FIRST);
  #next = new Int32Array(ROWS_AT_FIRST).fill(NONE);
  readonly #nodes: NodeTable;
  #used = 1;
  #free = NONE;
  count = 0;

  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  /** Adds an open descriptor of the inode `node`; its handle, or -1 when there are too many. */
  add(fd: number, node: number, flags: number): number {
    const row = this.#take();
    if (row === NONE) return NONE;
    this.fd[row] = fd;
    this.node[row] = node;
    this.flags[row] = flags;
    this.#next[row] = this.#nodes.handle[node] as number;
    this.#nodes.handle[node] = row;
    this.count++;
    return row;
  }

  /** Whether `handle` is open. */
  has(handle: number): boolean {
    return (
      handle > 0 &&
      handle < this.#used &&
      (this.fd[handle] as number) >= 0 &&
      this.#ended[handle] === 0
    );
  }

  /** Whether `node` has a handle that was written through. */
  writing(node: number): boolean {
    let row = this.#nodes.handle[node] as number;
    while (row !== NONE && ((this.flags[row] as number) & HandleFlag.WROTE) === 0) {
      row = this.#next[row] as number;
    }
    return row !== NONE;
  }

  /** Closes a handle, now or when the calls that use it have ended. */
  release(handle: number): void {
    const node = this.node[handle] as number;
    let at = this.#nodes.handle[node] as number;
    if (at === handle) {
      this.#nodes.handle[node] = this.#next[handle] as number;
    } else {
      while (at !== NONE && this.#next[at] !== handle) at = this.#next[at] as number;
      if (at !== NONE) this.#next[at] = this.#next[handle] as number;
    }
    if ((this.busy[handle] as number) > 0) {
      this.#ended[handle] = 1;
      return;
    }
    this.#finish(handle);
  }

  /** A call in another thread begins to use the handle. */
  hold(handle: number): void {
    this.busy[handle] = (this.busy[handle] as number) + 1;
  }

  /** It has ended. */
  unhold(handle: number): void {
    this.busy[handle] = (this.busy[handle] as number) - 1;
    if (this.busy[handle] === 0 && this.#ended[handle] === 1) this.#finish(handle);
  }

  /** Closes all; no call may be using any. */
  close(): void {
    for (let row = 1; row < this.#used; row++) {
      if ((this.fd[row] as number) >= 0) this.release(row);
    }
  }

  #finish(handle: number): void {
    close(this.fd[handle] as number);
    this.fd[handle] = NONE;
    this.#ended[handle] = 0;
    this.#next[handle] = this.#free;
    this.#free = handle;
    this.count--;
  }

  #take(): number {
    if (this.#free !== NONE) {
      const row = this.#free;
      this.#free = this.#next[row] as number;
      return row;
    }
    if (this.#used >= HANDLES_MAX) return NONE;
    if (this.#used === this.fd.length) this.#grow(this.fd.length * 2);
    return this.#used++;
  }

  #grow(rows: number): void {
    const int = (column: Int32Array) => {
      const next = new Int32Array(rows).fill(NONE);
      next.set(column);
      return next;
    };
    const byte = (column: Uint8Array) => {
      const next = new Uint8Array(rows);
      next.set(column);
      return next;
    };
    this.fd = int(this.fd);
    this.node = int(this.node);
    this.#next = int(this.#next);
    this.flags = byte(this.flags);
    this.busy = byte(this.busy);
    this.#ended = byte(this.#ended);
  }
}
