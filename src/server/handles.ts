/**
 * Files that a session has open: columns again, and a list of the handles of
 * each inode, because any of them serves to reach it after its last name went.
 *
 * What a file was opened with is in the session's record, with its file handle:
 * it can be opened again by another process, wherever it was moved to meanwhile.
 */
import { E } from "../sys/errno.ts";
import { HANDLE as FILE_HANDLE, MAX_HANDLE_SZ, nameToHandleAt } from "../sys/handle.ts";
import { AT_EMPTY_PATH, close } from "../sys/open.ts";
import { HANDLE_EPOCH_SHIFT, OPEN_FLAGS_ALL, OpenFlag } from "../wire/constants.ts";
import { HANDLES_MAX } from "../wire/limits.ts";
import type { NodeTable } from "./nodes.ts";
import { FILE_HANDLE_BYTES, HANDLE, HEADER } from "./record/layout.ts";
import { DamagedRecord, type SessionRecord } from "./record/record.ts";
import { EMPTY_PATH } from "./status.ts";

const NONE = -1;
const ROWS_AT_FIRST = 256;
const WORDS = FILE_HANDLE_BYTES / 4;

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
  /** A device: every call on it is made in a thread (ops/devices.ts). */
  DEVICE: 0x40,
  /** Of a device that has no positions: a terminal. */
  STREAM: 0x80,
  /** A file of the kernel's, read and written as who opened it. */
  LIVE: 0x100,
} as const;

/** States of a handle in the record. */
export const HandleState = {
  FREE: 0,
  OPEN: 1,
  /** Its file was gone when it was to be opened again. */
  STALE: 2,
  /** Another has a lock that was held through it, or it could not be opened again. */
  LOST: 3,
} as const;

/** Flags that say how to open a file again: what opening it does once is not among them. */
const LASTING = OPEN_FLAGS_ALL & ~(OpenFlag.TRUNCATE | OpenFlag.EXCLUSIVE | OpenFlag.KILL_SUIDGID);

const EMPTY = new Int32Array(0);
const EMPTY_BYTES = new Uint8Array(0);
const EMPTY_WORDS = new Uint32Array(0);

export class HandleTable {
  /**
   * The descriptor of each handle, or the errno (negative) that whatever uses it
   * is answered with; -1 where there is no handle.
   */
  fd = EMPTY;
  node = EMPTY;
  flags = EMPTY_WORDS;
  /** Whole-file lock held through it: 0 none, else the wire's Lock type and 1. */
  flock = EMPTY_BYTES;
  /** Who opened it, for files of the kernel. */
  uid = EMPTY_WORDS;
  gid = EMPTY_WORDS;
  #state = EMPTY_BYTES;
  #openFlags = EMPTY_WORDS;
  #fileHandle = EMPTY_WORDS;
  /** Calls in other threads that use the descriptor now. */
  busy = EMPTY_BYTES;
  /** Released while busy: closed when the last of them ends. */
  #ended = EMPTY_BYTES;
  #next = EMPTY;
  readonly #nodes: NodeTable;
  readonly #record: SessionRecord;
  /** The session's epoch, in its place in every handle's number. */
  readonly #epochBits: number;
  #used = 1;
  #free = NONE;
  count = 0;

  /** Throws DamagedRecord where the record has handles that cannot be. */
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
    this.#record = nodes.record;
    this.#epochBits = (nodes.record.details?.epoch ?? 0) << HANDLE_EPOCH_SHIFT;
    const rows = this.#record.rows(HEADER.handleRows);
    if (rows === 0) {
      if (!this.#grow(ROWS_AT_FIRST)) throw new Error("Cannot make room for handles");
    } else {
      this.#bind(rows);
      this.#restore();
    }
  }

  /**
   * Adds an open descriptor of the inode `node`, opened by `uid`:`gid` with the
   * wire's `openFlags`; its handle, or -1 when there are too many.
   */
  add(fd: number, node: number, flags: number, openFlags: number, uid = 0, gid = 0): number {
    const row = this.#take();
    if (row === NONE) return NONE;
    this.fd[row] = fd;
    this.node[row] = node;
    this.flags[row] = flags;
    this.flock[row] = 0;
    this.uid[row] = uid;
    this.gid[row] = gid;
    this.#openFlags[row] = openFlags & LASTING;
    // A record without a file is nobody's after this process.
    if (this.#record.path !== undefined) this.#name(row, fd);
    this.#state[row] = HandleState.OPEN;
    this.#linkFirst(row);
    this.count++;
    return row;
  }

  /** Whether `handle` was opened and not released: it may be of no use all the same. */
  has(handle: number): boolean {
    return (
      handle > 0 &&
      handle < this.#used &&
      (this.fd[handle] as number) !== NONE &&
      this.#ended[handle] === 0
    );
  }

  /** The client's number of `handle`: it tells the handles of one session from those of another. */
  number(handle: number): number {
    return handle | this.#epochBits;
  }

  /** The handle that the client calls `number`, or -1 for one that is not open. */
  byNumber(number: number): number {
    const handle = number ^ this.#epochBits;
    return handle < 1 << HANDLE_EPOCH_SHIFT && this.has(handle) ? handle : NONE;
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
    this.#state[handle] = HandleState.FREE;
    this.#unlink(handle);
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

  /** All handles that were opened and not released. */
  *all(): Generator<number> {
    for (let row = 1; row < this.#used; row++) if (this.has(row)) yield row;
  }

  /** Whether a call in another thread uses a handle of `node`. */
  isHeld(node: number): boolean {
    let row = this.#nodes.handle[node] as number;
    while (row !== NONE && this.busy[row] === 0) row = this.#next[row] as number;
    return row !== NONE;
  }

  /** Handles that another process had open and this one has not opened again yet. */
  *closed(): Generator<number> {
    for (let row = 1; row < this.#used; row++) {
      if (this.#state[row] === HandleState.OPEN && (this.fd[row] as number) < 0) yield row;
    }
  }

  /** The wire's flags to open the file again with. */
  openFlags(handle: number): number {
    return this.#openFlags[handle] as number;
  }

  /** Address of the file's struct file_handle, or 0 where there is none. */
  fileHandle(handle: number): number {
    const length = this.#fileHandle[handle * WORDS] as number;
    if (length === 0 || length > MAX_HANDLE_SZ) return 0;
    return this.#record.address + HANDLE.fileHandle.at + handle * FILE_HANDLE_BYTES;
  }

  /** The file of a `closed` handle was opened again: `fd`, owned from now on. */
  reopen(handle: number, fd: number): void {
    this.#unlink(handle);
    this.fd[handle] = fd;
    this.#linkFirst(handle);
  }

  /** Whatever uses the handle from now on is answered with ESTALE or EIO; it can be released. */
  spoil(handle: number, state: typeof HandleState.STALE | typeof HandleState.LOST): void {
    const fd = this.fd[handle] as number;
    if (fd >= 0) close(fd);
    this.fd[handle] = state === HandleState.STALE ? -E.ESTALE : -E.EIO;
    this.flock[handle] = 0;
    this.#state[handle] = state;
    // Behind those that serve to reach the inode.
    this.#unlink(handle);
    this.#linkLast(handle);
  }

  /** Closes all; no call may be using any. The table is of no use afterwards. */
  close(): void {
    for (let row = 1; row < this.#used; row++) {
      const fd = this.fd[row] as number;
      if (fd >= 0) close(fd);
    }
    this.count = 0;
    this.#used = 1;
    this.#bind(0);
  }

  #finish(handle: number): void {
    const fd = this.fd[handle] as number;
    if (fd >= 0) close(fd);
    this.fd[handle] = NONE;
    this.#ended[handle] = 0;
    this.#next[handle] = this.#free;
    this.#free = handle;
    this.count--;
  }

  /** Keeps the file handle of what was opened, where its file system has any. */
  #name(handle: number, fd: number): void {
    this.#fileHandle[handle * WORDS] = MAX_HANDLE_SZ;
    const address =
      this.#record.address + HANDLE.fileHandle.at + handle * FILE_HANDLE_BYTES + FILE_HANDLE.bytes;
    if (nameToHandleAt(fd, EMPTY_PATH, address, AT_EMPTY_PATH) !== 0) {
      this.#fileHandle[handle * WORDS] = 0;
    }
  }

  #linkFirst(handle: number): void {
    const node = this.node[handle] as number;
    this.#next[handle] = this.#nodes.handle[node] as number;
    this.#nodes.handle[node] = handle;
  }

  #linkLast(handle: number): void {
    const { handle: first } = this.#nodes;
    const node = this.node[handle] as number;
    this.#next[handle] = NONE;
    let at = first[node] as number;
    if (at === NONE) {
      first[node] = handle;
      return;
    }
    while (this.#next[at] !== NONE) at = this.#next[at] as number;
    this.#next[at] = handle;
  }

  #unlink(handle: number): void {
    const { handle: first } = this.#nodes;
    const node = this.node[handle] as number;
    let at = first[node] as number;
    if (at === handle) {
      first[node] = this.#next[handle] as number;
      return;
    }
    while (at !== NONE && this.#next[at] !== handle) at = this.#next[at] as number;
    if (at !== NONE) this.#next[at] = this.#next[handle] as number;
  }

  #take(): number {
    if (this.#free !== NONE) {
      const row = this.#free;
      this.#free = this.#next[row] as number;
      return row;
    }
    const rows = this.fd.length;
    if (this.#used === rows && (rows >= HANDLES_MAX || !this.#grow(2 * rows))) return NONE;
    return this.#used++;
  }

  /** False when the record has no room for so many. */
  #grow(rows: number): boolean {
    if (this.#record.grow(HEADER.handleRows, rows) < 0) return false;
    this.#bind(rows);
    return true;
  }

  #bind(rows: number): void {
    const record = this.#record;
    this.node = record.i32(HANDLE.node, rows);
    this.flags = record.u32(HANDLE.flags, rows);
    this.flock = record.u8(HANDLE.flock, rows);
    this.uid = record.u32(HANDLE.uid, rows);
    this.gid = record.u32(HANDLE.gid, rows);
    this.#state = record.u8(HANDLE.state, rows);
    this.#openFlags = record.u32(HANDLE.openFlags, rows);
    this.#fileHandle = record.u32(HANDLE.fileHandle, rows);
    const int = (column: Int32Array) => {
      const next = new Int32Array(rows).fill(NONE);
      if (rows > 0) next.set(column);
      return next;
    };
    const byte = (column: Uint8Array) => {
      const next = new Uint8Array(rows);
      if (rows > 0) next.set(column);
      return next;
    };
    this.fd = int(this.fd);
    this.#next = int(this.#next);
    this.busy = byte(this.busy);
    this.#ended = byte(this.#ended);
  }

  /** Takes over the handles another process left: none is open yet. */
  #restore(): void {
    const rows = this.fd.length;
    for (let row = 1; row < rows; row++) {
      const state = this.#state[row] as number;
      if (state === HandleState.FREE) continue;
      this.#check(row);
      this.fd[row] = state === HandleState.LOST ? -E.EIO : -E.ESTALE;
      this.#linkFirst(row);
      this.#used = row + 1;
      this.count++;
    }
    for (let row = this.#used - 1; row > 0; row--) {
      if (this.#state[row] !== HandleState.FREE) continue;
      this.#next[row] = this.#free;
      this.#free = row;
    }
  }

  #check(row: number): void {
    const node = this.node[row] as number;
    const sound =
      node > 0 &&
      node < this.#nodes.rows &&
      (this.#state[row] as number) <= HandleState.LOST &&
      ((this.#openFlags[row] as number) & ~OPEN_FLAGS_ALL) === 0;
    if (!sound) throw new DamagedRecord(`handle ${row} is none`);
  }
}
