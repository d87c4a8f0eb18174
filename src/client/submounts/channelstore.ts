/**
 * Where the channels of superblocks are kept for the process that takes over from one
 * that was killed: messages in a socket that nobody reads until then. The kernel keeps
 * what is sent along with them open; the keeper only has to hold the socket's other end.
 */
import { allocate } from "../../sys/memory.ts";
import { close } from "../../sys/open.ts";
import { recvFds, SOCK_SEQPACKET, sendFds, setBuffers, socketPair } from "../../sys/socket.ts";
import type { HostMount } from "./hostmount.ts";

/** What is kept of a superblock. */
export interface KeptChannel {
  channel: number;
  fuseFd: number;
  host: HostMount;
  /** mnt_id of its mount here. */
  id: number;
  /** The root's node, in halves. */
  high: number;
  low: number;
}

/** Room for as many messages as there are channels; each counts with what the kernel needs for it. */
const SOCKET_BYTES = 16 * 1024 * 1024;
const MESSAGE_BYTES = 16 * 1024;
/** Messages of superblocks that are gone, beyond which (and twice those in use) all are written anew. */
const STALE_MIN = 64;

const room = allocate(MESSAGE_BYTES);

export class ChannelStore {
  /** The end that is held for the next process. */
  readonly fd: number;
  readonly #writeEnd: number;
  readonly #kept = new Map<number, KeptChannel>();
  #stale = 0;

  /** Throws a sentence where there are no sockets to be had. */
  constructor() {
    const ends = socketPair(SOCK_SEQPACKET);
    if (typeof ends === "number") throw new Error(`Cannot make a socket: errno ${-ends}`);
    [this.fd, this.#writeEnd] = ends;
    for (const end of ends) setBuffers(end, SOCKET_BYTES);
  }

  /** Keeps a superblock, in place of what was kept under its channel. */
  put(kept: KeptChannel): void {
    if (this.#kept.has(kept.channel)) this.#stale++;
    this.#kept.set(kept.channel, kept);
    this.#send(kept);
    this.#tidy();
  }

  /** The superblock of `channel` is gone. */
  remove(channel: number): void {
    if (!this.#kept.delete(channel)) return;
    this.#stale++;
    this.#tidy();
  }

  /**
   * What another process has left in `fd`, the end that was held for us; it is closed. Of a
   * channel that was kept more than once the last counts.
   */
  static takeAll(fd: number): KeptChannel[] {
    const found = new Map<number, KeptChannel>();
    for (let one = receive(fd); one !== undefined; one = receive(fd)) {
      const before = found.get(one.channel);
      if (before !== undefined) close(before.fuseFd);
      found.set(one.channel, one);
    }
    close(fd);
    return [...found.values()];
  }

  #send(kept: KeptChannel): void {
    const { fuseFd, ...rest } = kept;
    const length = room.bytes.utf8Write(JSON.stringify(rest), 0);
    sendFds(this.#writeEnd, room.address, length, [fuseFd]);
  }

  /** Writes all anew when most of what is there is of no use any more. */
  #tidy(): void {
    if (this.#stale < STALE_MIN || this.#stale < 2 * this.#kept.size) return;
    this.#stale = 0;
    for (let one = receive(this.fd); one !== undefined; one = receive(this.fd)) close(one.fuseFd);
    for (const kept of this.#kept.values()) this.#send(kept);
  }
}

function receive(fd: number): KeptChannel | undefined {
  const { n, fds } = recvFds(fd, room.address, room.size, 1);
  const [fuseFd] = fds;
  if (n <= 0 || fuseFd === undefined) return undefined;
  return { ...(JSON.parse(room.bytes.toString("utf8", 0, n)) as KeptChannel), fuseFd };
}
