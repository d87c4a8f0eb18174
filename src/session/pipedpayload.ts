/**
 * The payload of one large frame, on its way from a connection to a pipe of a program's: splice(2)
 * puts references to its pages into a pipe of ours. What that does not take, because it came in
 * too many small parts, or what nobody wants from a pipe, is read to memory.
 */
import { E } from "../sys/errno.ts";
import { pipe2, read, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, setPipeSize, splice } from "../sys/io.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK } from "../sys/open.ts";
import { recv } from "../sys/socket.ts";
import { unreadBytes } from "../sys/terminal.ts";
import { SPLICE_KEPT_MAX, STREAM_SPLICED_MAX } from "../wire/limits.ts";

/** Payloads from this size on may go through a pipe. */
export const PIPED_MIN = 16 * 1024;

export class PipedPayload {
  readonly #pipe: [readEnd: number, writeEnd: number];
  #memory: Region | undefined;
  #inPipe = 0;
  #inMemory = 0;
  /** Bytes that have not come yet. */
  left = 0;

  private constructor(pipe: [number, number]) {
    this.#pipe = pipe;
  }

  /** undefined where there are no more descriptors, or the pipe cannot be large. */
  static make(): PipedPayload | undefined {
    const pipe = pipe2(O_CLOEXEC | O_NONBLOCK);
    if (typeof pipe === "number") return undefined;
    if (setPipeSize(pipe[1], SPLICE_KEPT_MAX) > 0) return new PipedPayload(pipe);
    for (const fd of pipe) close(fd);
    return undefined;
  }

  /** A payload of `length` bytes, at most STREAM_SPLICED_MAX, is to be received. */
  begin(length: number): void {
    this.clear();
    this.left = length;
  }

  /** Takes some of what has come to `socket`: how many bytes, 0 at its end, or -errno. */
  receive(socket: number): number {
    if (this.#inMemory === 0) {
      const got = splice(socket, this.#pipe[1], this.left, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
      if (got > 0) {
        this.#inPipe += got;
        this.left -= got;
        return got;
      }
      // EAGAIN also says that the pipe has no place for another part.
      if (got !== -E.EAGAIN || this.#inPipe === 0 || unreadBytes(socket) === 0) return got;
    }
    const memory = this.#load();
    const got = recv(socket, memory.address + this.#inMemory, this.left);
    if (got > 0) {
      this.#inMemory += got;
      this.left -= got;
    }
    return got;
  }

  /** Where all of it can be read, and is to be at once; -1: it is in memory. */
  get fd(): number {
    return this.#inMemory > 0 ? -1 : this.#pipe[0];
  }

  /** All that has come, in memory, good until the next payload. */
  get memory(): Region {
    return this.#load();
  }

  /** What was received is not needed any more. */
  clear(): void {
    if (this.left > 0 && this.#inPipe > 0) this.#load();
    this.left = 0;
    this.#inPipe = 0;
    this.#inMemory = 0;
  }

  close(): void {
    for (const fd of this.#pipe) close(fd);
    if (this.#memory !== undefined) free(this.#memory);
    this.#memory = undefined;
  }

  #load(): Region {
    const memory = this.#memory ?? allocate(STREAM_SPLICED_MAX);
    this.#memory = memory;
    while (this.#inPipe > 0) {
      const got = read(this.#pipe[0], memory.address + this.#inMemory, this.#inPipe);
      if (got <= 0) throw new Error(`Cannot read what came in a pipe: errno ${-got}`);
      this.#inPipe -= got;
      this.#inMemory += got;
    }
    return memory;
  }
}
