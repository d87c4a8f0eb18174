/**
 * The superblocks that are served beside the first one: each has a descriptor of
 * /dev/fuse of its own, its channel. Their requests and answers go the way of the
 * first one's, because what the kernel counts per superblock is made unique as it is
 * read: the number of the channel is put into requests' numbers and into those of
 * polls, and the root, which the kernel calls 1 everywhere, gets its node's number.
 */
import { Epoll } from "../sys/epoll.ts";
import type { Region } from "../sys/memory.ts";
import {
  COPY_FILE_RANGE_IN,
  IN_HEADER,
  IN_HEADER_SIZE,
  INTERRUPT_IN,
  Opcode,
  POLL_IN,
  RENAME2_IN,
} from "./protocol.ts";

/** Superblocks beside the first one. */
export const CHANNELS_MAX = 4096;
/** What the kernel calls the root of any superblock (FUSE_ROOT_ID). */
export const ROOT = 1;

/**
 * Place of the channel in the upper half of a number that the kernel counts up from
 * zero. It counts requests in twos, so 2^46 of them would have to pass before it
 * needs these bits; the highest one marks what it sends again.
 */
const SHIFT = 15;
const MASK = 0xffff;
const OTHER_BITS = ~(MASK << SHIFT);

/** Number of the channel in the upper half of a request's number; 0 is the first one. */
export function channelOf(high: number): number {
  return (high >>> SHIFT) & MASK;
}

/** The upper half as the kernel knows it. */
export function kernelHigh(high: number): number {
  return (high & OTHER_BITS) >>> 0;
}

/** Words of the body where the root of another directory or file may be named, by opcode. */
const NODE_AT: ReadonlyMap<number, number> = new Map([
  [Opcode.RENAME, RENAME2_IN.newdir],
  [Opcode.RENAME2, RENAME2_IN.newdir],
  [Opcode.COPY_FILE_RANGE, COPY_FILE_RANGE_IN.nodeid_out],
]);
/** Upper halves in the body of numbers that are unique in their superblock alone. */
const NUMBER_AT: ReadonlyMap<number, number> = new Map([
  [Opcode.INTERRUPT, INTERRUPT_IN.unique + 4],
  [Opcode.POLL, POLL_IN.kh + 4],
]);

export class Channels {
  /** How many are being read. */
  count = 0;
  /** Those whose superblock is gone, to be looked at and emptied by whoever serves them. */
  ended: number[] = [];
  readonly #fds = new Int32Array(CHANNELS_MAX + 1).fill(-1);
  readonly #rootHigh = new Uint32Array(CHANNELS_MAX + 1);
  readonly #rootLow = new Uint32Array(CHANNELS_MAX + 1).fill(ROOT);
  #epoll: Epoll | undefined;
  #readyCount = 0;
  #readyAt = 0;

  /** `first`: descriptor of the first superblock. */
  constructor(first: number) {
    this.#fds[0] = first;
  }

  /** Descriptor that is readable when any of them is; -1 where there is none. */
  get fd(): number {
    return this.count > 0 ? (this.#epoll as Epoll).fd : -1;
  }

  /** Descriptor of a channel, or -1. */
  fdOf(channel: number): number {
    return this.#fds[channel] ?? -1;
  }

  /** Numbers of those being read. */
  numbers(): number[] {
    const all: number[] = [];
    for (let i = 1; i <= CHANNELS_MAX; i++) if ((this.#fds[i] as number) >= 0) all.push(i);
    return all;
  }

  /** Reads `fd` (non-blocking) as `channel` from now on, whose root is the node `high:low`. */
  open(channel: number, fd: number, high: number, low: number): void {
    this.#epoll ??= new Epoll();
    this.setRoot(channel, high, low);
    this.#fds[channel] = fd;
    if (this.#epoll.add(fd, channel) === 0) this.count++;
  }

  /** Its root is another node from now on. */
  setRoot(channel: number, high: number, low: number): void {
    this.#rootHigh[channel] = high;
    this.#rootLow[channel] = low;
  }

  /** Does not read it for the time being. */
  pause(channel: number): void {
    const fd = this.#fds[channel] as number;
    if (fd >= 0 && this.#epoll?.remove(fd) === 0) this.count--;
  }

  /** Reads it no more; its descriptor stays the owner's. */
  close(channel: number): void {
    const fd = this.#fds[channel] as number;
    if (fd < 0) return;
    this.pause(channel);
    this.#fds[channel] = -1;
  }

  /** Whether the node is the root of the channel. */
  isRoot(channel: number, high: number, low: number): boolean {
    return low === this.#rootLow[channel] && high === this.#rootHigh[channel];
  }

  /** Upper half of the number of the channel's root, which tells its policy. */
  rootHigh(channel: number): number {
    return this.#rootHigh[channel] as number;
  }

  /** The next channel that has a request, or 0 when none has any. */
  nextReady(): number {
    while (true) {
      while (this.#readyAt < this.#readyCount) {
        const channel = (this.#epoll as Epoll).data(this.#readyAt++);
        if ((this.#fds[channel] as number) >= 0) return channel;
      }
      this.#readyAt = 0;
      this.#readyCount = Math.max(0, (this.#epoll as Epoll).poll());
      if (this.#readyCount === 0) return 0;
    }
  }

  /** Makes what the kernel has numbered in `request` unique among all channels. */
  adapt({ words }: Region, channel: number): void {
    this.#adaptNode(words, channel, IN_HEADER.nodeid / 4);
    this.#adaptNumber(words, channel, IN_HEADER.unique / 4 + 1);
    const opcode = words[IN_HEADER.opcode / 4] as number;
    const node = NODE_AT.get(opcode);
    if (node !== undefined) this.#adaptNode(words, channel, (IN_HEADER_SIZE + node) / 4);
    const number = NUMBER_AT.get(opcode);
    if (number !== undefined) this.#adaptNumber(words, channel, (IN_HEADER_SIZE + number) / 4);
  }

  #adaptNode(words: Uint32Array, channel: number, at: number): void {
    if (words[at] !== ROOT || words[at + 1] !== 0) return;
    words[at] = this.#rootLow[channel] as number;
    words[at + 1] = this.#rootHigh[channel] as number;
  }

  #adaptNumber(words: Uint32Array, channel: number, at: number): void {
    words[at] = (words[at] as number) | (channel << SHIFT);
  }
}
