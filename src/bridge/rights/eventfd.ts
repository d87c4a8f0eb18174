/**
 * Event counters (eventfd(2)). Two kernels have two counters: what a program adds to
 * the one is taken out there and added to the other. Which way they go is decided by
 * who adds first, for what is taken out of a counter cannot be told from what a program
 * was to read there. Where both did before they heard of each other, the one that was
 * passed goes on being read, and what came to it comes back.
 *
 * The kernel tells nobody when a counter is used no more, so both end with the
 * connection that they were passed over.
 */
import { readFileSync } from "node:fs";
import type { Stream } from "../../session/stream.ts";
import { EPOLLIN, EPOLLOUT } from "../../sys/epoll.ts";
import { E } from "../../sys/errno.ts";
import { readNoWait, write } from "../../sys/io.ts";
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { POLLOUT, PollSet } from "../../sys/poll.ts";
import { Backlog } from "../backlog.ts";
import type { Loop, Watched } from "../loop.ts";
import type { Bridged } from "./bridged.ts";

const COUNTER_BYTES = 8;
/** Reads in a row: one that counts as a semaphore gives one at each. */
const READS_MAX = 64;

const room = allocate(COUNTER_BYTES);
const poll = new PollSet(1);

/** Whether each read of it takes one (EFD_SEMAPHORE). */
export function isSemaphore(fd: number): boolean {
  return /^eventfd-semaphore:\s*1$/m.test(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"));
}

export class EventfdEnd implements Bridged, Watched {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #isOffering: boolean;
  readonly #ended: (errno: number) => void;
  #stream: Stream | undefined;
  /** What is added to it here is taken out for the peer. */
  #reads = true;
  #hasSent = false;
  /** Counts that the connection, or the counter, does not take yet. */
  readonly #out = new Backlog();
  readonly #in = new Backlog();
  #isClosed = false;

  /** Owns `fd`. */
  constructor(
    loop: Loop,
    fd: number,
    side: "offering" | "receiving",
    ended: (errno: number) => void = () => {},
  ) {
    this.#loop = loop;
    this.#fd = fd;
    this.#isOffering = side === "offering";
    this.#ended = ended;
  }

  start(stream: Stream): void {
    this.#stream = stream;
    this.#loop.add(this.#fd, EPOLLIN, this);
  }

  onEvents(events: number): void {
    if ((events & EPOLLOUT) !== 0) this.#add();
    if ((events & EPOLLIN) !== 0 && this.#reads && this.#stream !== undefined) {
      for (let i = 0; i < READS_MAX && this.#out.length === 0; i++) {
        if (readNoWait(this.#fd, room.address, COUNTER_BYTES) !== COUNTER_BYTES) break;
        this.#out.put(room.bytes);
        this.#hasSent = true;
        this.onWritable(this.#stream);
      }
    }
    this.#wait();
  }

  onWritable(stream: Stream): void {
    const sent = stream.send(this.#out.first(this.#out.length));
    if (sent > 0) this.#out.drop(sent);
    this.#wait();
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    if (this.#isClosed) {
      stream.consumed(bytes.length);
      return;
    }
    if (!this.#isOffering || !this.#hasSent) this.#reads = false;
    this.#in.put(bytes);
    this.#add();
    this.#wait();
  }

  /** Adds what has come, unless the counter is full. */
  #add(): void {
    while (this.#in.length >= COUNTER_BYTES) {
      poll.clear();
      poll.add(this.#fd, POLLOUT);
      if (poll.wait(0) <= 0) return;
      const wrote = write(this.#fd, this.#in.address, COUNTER_BYTES);
      if (wrote === -E.EAGAIN) return;
      this.#in.drop(COUNTER_BYTES);
      this.#stream?.consumed(COUNTER_BYTES);
    }
  }

  #wait(): void {
    if (this.#isClosed) return;
    const wants = this.#reads && this.#out.length === 0 ? EPOLLIN : 0;
    this.#loop.modify(this.#fd, wants | (this.#in.length >= COUNTER_BYTES ? EPOLLOUT : 0));
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
