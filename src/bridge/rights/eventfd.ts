/**
 * Event counters (eventfd(2)). Two kernels have two counters: what a program adds to one is
 * taken out there and added to the other. What has been added so, and that nobody has read
 * yet, must not go back: the counter says how much is in it (proc(5): fdinfo), and the
 * kernel tells of each reading and adding (EPOLLET). So both sides may add; but where a
 * program reads a number and adds the same one before this is looked at, that is not noticed.
 *
 * The kernel tells nobody when a counter is used no more, so both end with the
 * connection that they were passed over.
 */
import { readFileSync } from "node:fs";
import type { Stream } from "../../session/stream.ts";
import { EPOLLET, EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { readNoWait, write } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { POLLOUT, PollSet } from "../../sys/poll.ts";
import { Backlog } from "../backlog.ts";
import type { Loop, Watched } from "../loop.ts";
import type { Bridged } from "./bridged.ts";

const COUNTER_BYTES = 8;
/** Reads in a row of one that counts as a semaphore, and gives one at each. */
const ONES_MAX = 1024n;

const room = allocate(COUNTER_BYTES);
const poll = new PollSet(1);

/** Linux: eventfd_show_fdinfo. */
function fdinfo(fd: number): string {
  return readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
}

/** Whether each read of it takes one (EFD_SEMAPHORE). */
export function isSemaphore(fd: number): boolean {
  return /^eventfd-semaphore:\s*1$/m.test(fdinfo(fd));
}

/** What is in it. */
function countOf(fd: number): bigint {
  return BigInt(`0x${/^eventfd-count:\s*([0-9a-f]+)$/m.exec(fdinfo(fd))?.[1] ?? "0"}`);
}

export class EventfdEnd implements Bridged, Watched {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #isSemaphore: boolean;
  readonly #ended: (errno: number) => void;
  #stream: Stream | undefined;
  /** How much of what is in it has come from the peer. */
  #unread = 0n;
  /** Counts that the connection, or the counter, does not take yet. */
  readonly #out = new Backlog();
  readonly #in = new Backlog();
  #isClosed = false;

  /** Owns `fd`. */
  constructor(loop: Loop, fd: number, ended: (errno: number) => void = () => {}) {
    this.#loop = loop;
    this.#fd = fd;
    this.#isSemaphore = isSemaphore(fd);
    this.#ended = ended;
  }

  start(stream: Stream): void {
    this.#stream = stream;
    this.#loop.add(this.#fd, EPOLLIN | EPOLLOUT | EPOLLET, this);
  }

  /** Somebody has read it, or added to it; perhaps this has. */
  onEvents(): void {
    if (this.#stream === undefined) return;
    this.#add();
    this.#look(this.#stream);
  }

  onWritable(stream: Stream): void {
    const sent = stream.send(this.#out.first(this.#out.length));
    if (sent > 0) this.#out.drop(sent);
    if (this.#out.length === 0) this.#look(stream);
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    if (this.#isClosed) {
      stream.consumed(bytes.length);
      return;
    }
    this.#look(stream);
    this.#in.put(bytes);
    this.#add();
  }

  /** Sends on what programs here have added. */
  #look(stream: Stream): void {
    if (this.#isClosed || this.#out.length > 0) return;
    const count = countOf(this.#fd);
    if (count === this.#unread) return;
    const taken = this.#isSemaphore ? this.#takeOnes(count) : this.#takeAll();
    if (taken <= 0n) return;
    room.view.setBigUint64(0, taken, true);
    this.#out.put(room.bytes);
    this.onWritable(stream);
  }

  /** Of one whose reads take one each: what is there beyond what has come. */
  #takeOnes(count: bigint): bigint {
    if (count < this.#unread) this.#unread = count;
    let taken = 0n;
    while (taken < count - this.#unread && taken < ONES_MAX) {
      if (readNoWait(this.#fd, room.address, COUNTER_BYTES) !== COUNTER_BYTES) break;
      taken++;
    }
    return taken;
  }

  /**
   * Each read takes all: whoever has added has mostly read before. If not, what had
   * come goes back: to another who may read it, as of one counter.
   */
  #takeAll(): bigint {
    this.#unread = 0n;
    const got = readNoWait(this.#fd, room.address, COUNTER_BYTES);
    return got === COUNTER_BYTES ? room.view.getBigUint64(0, true) : 0n;
  }

  /** Adds what has come, unless the counter is full. */
  #add(): void {
    while (this.#in.length >= COUNTER_BYTES && !this.#isClosed) {
      poll.clear();
      poll.add(this.#fd, POLLOUT);
      if (poll.wait(0) <= 0) return;
      room.bytes.set(this.#in.first(COUNTER_BYTES));
      const count = room.view.getBigUint64(0, true);
      const wrote = write(this.#fd, room.address, COUNTER_BYTES);
      if (wrote === -E.EAGAIN) return;
      if (wrote === COUNTER_BYTES) this.#unread += count;
      this.#in.drop(COUNTER_BYTES);
      this.#stream?.consumed(COUNTER_BYTES);
    }
  }

  onOutOfBand(stream: Stream): void {
    stream.consumed(0, 1);
  }

  onEof(stream: Stream): void {
    stream.end();
    this.#finish(0);
  }

  onReset(_: Stream, errno: number): void {
    this.#finish(errno);
  }

  onClosed(): void {
    this.#finish(0);
  }

  close(errno: number): void {
    if (this.#isClosed) return;
    this.#stream?.reset(errno);
    this.#finish(errno);
  }

  #finish(errno: number): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#loop.remove(this.#fd);
    close(this.#fd);
    this.#in.clear();
    this.#out.clear();
    this.#ended(errno);
  }
}
