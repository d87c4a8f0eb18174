/**
 * Large READ answers on their way from the socket to the kernel by splice(2):
 * the data goes from the socket's pages through a pipe into the caller's pages,
 * and is copied once instead of three times. Where the pipe cannot take an
 * answer whole (its pages came in too small pieces), the rest is read to memory.
 */

import { kernelHigh } from "../fuse/channels.ts";
import type { FuseDevice } from "../fuse/device.ts";
import { OUT_HEADER_SIZE } from "../fuse/protocol.ts";
import { E } from "../sys/errno.ts";
import {
  pipe2,
  read,
  SPLICE_F_MOVE,
  SPLICE_F_NONBLOCK,
  setPipeSize,
  splice,
  write,
} from "../sys/io.ts";
import { allocate, type Region } from "../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK } from "../sys/open.ts";
import { POLLIN, PollSet } from "../sys/poll.ts";
import { recv } from "../sys/socket.ts";
import type { Transport } from "../transport/transport.ts";

/** Answers from this size on are spliced; below, a copy is cheaper than the calls. */
export const BULK_MIN = 128 * 1024;
/** The largest pipe an ordinary root may have (fs.pipe-max-size). */
const PIPE_BYTES = 1024 * 1024;
/** The largest READ whose pages and header surely fit such a pipe. */
export const BULK_MAX = 512 * 1024;
/** Bytes taken from the socket at a time while bulk is awaited: headers, little data. */
export const PEEK_BYTES = 4096;

/** Outcome of a step. */
export const Bulk = { WAIT: 0, DONE: 1, BROKEN: 2 } as const;

export class BulkAnswer {
  readonly #fuse: FuseDevice;
  readonly #readEnd: number;
  readonly #writeEnd: number;
  readonly #header = allocate(OUT_HEADER_SIZE);
  readonly #readable = new PollSet(1);
  /** Descriptor of /dev/fuse that the answer is for. */
  #device = -1;
  /** Bytes of the answer still in the socket, and its length with its header. */
  #missing = 0;
  #total = 0;
  /** The answer in memory, where the pipe was too small; bytes of it there. */
  #memory: Region | undefined;
  #inMemory = -1;
  #unwanted = false;

  constructor(fuse: FuseDevice) {
    this.#fuse = fuse;
    const ends = pipe2(O_NONBLOCK | O_CLOEXEC);
    if (typeof ends === "number") throw new Error(`Cannot make a pipe: errno ${-ends}`);
    [this.#readEnd, this.#writeEnd] = ends;
    setPipeSize(this.#writeEnd, PIPE_BYTES);
  }

  /** Whether an answer is on its way. */
  get active(): boolean {
    return this.#missing > 0;
  }

  /**
   * Begins an answer of `length` bytes, of which `have` at `address` have been
   * received already.
   */
  begin(
    uniqueLow: number,
    uniqueHigh: number,
    length: number,
    address: number,
    have: number,
  ): void {
    const { words } = this.#header;
    words[0] = OUT_HEADER_SIZE + length;
    words[1] = 0;
    words[2] = uniqueLow;
    words[3] = kernelHigh(uniqueHigh);
    this.#device = this.#fuse.fdFor(uniqueHigh);
    write(this.#writeEnd, this.#header.address, OUT_HEADER_SIZE);
    if (have > 0) write(this.#writeEnd, address, have);
    this.#total = OUT_HEADER_SIZE + length;
    this.#missing = length - have;
    this.#inMemory = -1;
    this.#unwanted = false;
  }

  /** The kernel has had another answer: the rest of this one is received and thrown away. */
  discard(): void {
    this.#unwanted = true;
  }

  /** Moves what has arrived; DONE once the kernel has the answer. */
  step(transport: Transport): number {
    while (this.#missing > 0) {
      const moved = this.#inMemory >= 0 ? this.#receive(transport.fd) : this.#splice(transport.fd);
      if (moved === 0) return Bulk.BROKEN;
      if (moved === -E.EAGAIN || moved === -E.EINTR) return Bulk.WAIT;
      if (moved < 0) return Bulk.BROKEN;
      this.#missing -= moved;
      transport.bytesReceived += moved;
    }
    this.#deliver();
    return Bulk.DONE;
  }

  /** Gives an answer up, whose connection broke: the pipe is emptied. */
  drop(): void {
    if (this.#inMemory < 0 && this.#total > 0) this.#drain();
    this.#missing = 0;
    this.#total = 0;
  }

  close(): void {
    close(this.#readEnd);
    close(this.#writeEnd);
  }

  #splice(socket: number): number {
    const moved = splice(socket, this.#writeEnd, this.#missing, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved !== -E.EAGAIN) return moved;
    this.#readable.clear();
    this.#readable.add(socket, POLLIN);
    if (this.#readable.wait(0) <= 0) return moved;
    // There is data but no room in the pipe.
    this.#drain();
    return this.#receive(socket);
  }

  #receive(socket: number): number {
    const memory = this.#memory as Region;
    const got = recv(socket, memory.address + this.#inMemory, this.#missing);
    if (got > 0) this.#inMemory += got;
    return got;
  }

  #drain(): void {
    this.#memory ??= allocate(OUT_HEADER_SIZE + PIPE_BYTES + PEEK_BYTES);
    this.#inMemory = 0;
    while (true) {
      const got = read(
        this.#readEnd,
        this.#memory.address + this.#inMemory,
        this.#memory.size - this.#inMemory,
      );
      if (got <= 0) return;
      this.#inMemory += got;
    }
  }

  #deliver(): void {
    if (this.#unwanted || this.#device < 0) {
      if (this.#inMemory < 0) this.#drain();
    } else if (this.#inMemory >= 0) {
      const memory = this.#memory as Region;
      this.#fuse.noteSent(write(this.#device, memory.address, this.#total));
    } else {
      const sent = splice(this.#readEnd, this.#device, this.#total, SPLICE_F_MOVE);
      this.#fuse.noteSent(sent);
      // The kernel takes an answer whole or not at all.
      if (sent !== this.#total) this.#drain();
    }
    this.#total = 0;
  }
}
