/**
 * A mounted file system's descriptor of /dev/fuse: requests come out of it one
 * read each, answers go in one write each. The request lies in `request` until the
 * next `next()`, unless whoever keeps it puts other memory there; answers are built
 * in `answer` behind the header's room.
 */
import { E } from "../sys/errno.ts";
import { IoVec, read, write, writev } from "../sys/io.ts";
import { allocate, type Region } from "../sys/memory.ts";
import { getPageSize } from "../sys/process.ts";
import { Channels, channelOf, kernelHigh } from "./channels.ts";
import { IN_HEADER_SIZE, OUT_HEADER_SIZE } from "./protocol.ts";

/** Largest data of one READ or WRITE: 256 pages of 4 KiB, the kernel's limit unless raised. */
export const TRANSFER_MAX = 1024 * 1024;
export const MAX_PAGES = TRANSFER_MAX / getPageSize();
/** A request: a WRITE's headers and data; the kernel asks for room to spare. */
const REQUEST_BYTES = TRANSFER_MAX + 64 * 1024;
const ANSWER_BYTES = TRANSFER_MAX + 64 * 1024;

/** The file system has been unmounted. */
export const UNMOUNTED = -1;

/** Places of the request header in 32-bit words. */
const WORD = { len: 0, opcode: 1, unique: 2, nodeid: 4, uid: 6, gid: 7, pid: 8, ext: 9 } as const;

/** How often other superblocks are asked first: a busy first one must not keep them waiting. */
const TURNS = 8;

export class FuseDevice {
  /** Of the first superblock. */
  readonly fd: number;
  /** The other ones. */
  readonly channels: Channels;
  request: Region = allocate(REQUEST_BYTES);
  readonly answer: Region = allocate(ANSWER_BYTES);
  readonly #iov = new IoVec(2);
  readonly #header = allocate(OUT_HEADER_SIZE + 64);
  #turn = 0;
  /** Answers that the kernel refused for their form. */
  refused = 0;

  constructor(fd: number) {
    this.fd = fd;
    this.channels = new Channels(fd);
  }

  /**
   * Takes the next request of any superblock: its length, 0 when there is none now,
   * or UNMOUNTED if the first one is.
   */
  next(): number {
    if (this.channels.count === 0) return this.#take(this.fd);
    this.#turn = (this.#turn + 1) % TURNS;
    if (this.#turn === 0) return this.#nextOfOthers() || this.#take(this.fd);
    return this.#take(this.fd) || this.#nextOfOthers();
  }

  /** The next request of one channel: its length, 0, or UNMOUNTED. */
  nextOf(channel: number): number {
    const got = this.#take(this.channels.fdOf(channel));
    if (got > 0 && channel !== 0) this.channels.adapt(this.request, channel);
    return got;
  }

  #nextOfOthers(): number {
    const { channels } = this;
    for (let channel = channels.nextReady(); channel !== 0; channel = channels.nextReady()) {
      const got = this.nextOf(channel);
      if (got > 0) return got;
      if (got !== UNMOUNTED) continue;
      channels.close(channel);
      channels.ended.push(channel);
    }
    return 0;
  }

  #take(fd: number): number {
    const got = read(fd, this.request.address, REQUEST_BYTES);
    if (got >= IN_HEADER_SIZE) return got;
    // ENOENT: the request was interrupted before it was read (fuse_dev_do_read).
    if (got === -E.EAGAIN || got === -E.EINTR || got === -E.ENOENT) return 0;
    return UNMOUNTED;
  }

  get opcode(): number {
    return this.request.words[WORD.opcode] as number;
  }
  get uniqueLow(): number {
    return this.request.words[WORD.unique] as number;
  }
  get uniqueHigh(): number {
    return this.request.words[WORD.unique + 1] as number;
  }
  get nodeLow(): number {
    return this.request.words[WORD.nodeid] as number;
  }
  get nodeHigh(): number {
    return this.request.words[WORD.nodeid + 1] as number;
  }
  get uid(): number {
    return this.request.words[WORD.uid] as number;
  }
  get gid(): number {
    return this.request.words[WORD.gid] as number;
  }
  get pid(): number {
    return this.request.words[WORD.pid] as number;
  }
  get length(): number {
    return this.request.words[WORD.len] as number;
  }
  /** Bytes of extensions at the end of the request. */
  get extensionBytes(): number {
    return ((this.request.words[WORD.ext] as number) & 0xffff) * 8;
  }

  /** Answers with an errno, or with success and no body when it is 0. */
  replyErrno(uniqueLow: number, uniqueHigh: number, errno: number): void {
    const words = this.#header.words;
    words[0] = OUT_HEADER_SIZE;
    words[1] = -errno;
    words[2] = uniqueLow;
    words[3] = kernelHigh(uniqueHigh);
    this.#send(uniqueHigh, this.#header.address, OUT_HEADER_SIZE);
  }

  /** Answers with the `bodyBytes` bytes that were built in `answer` after its header. */
  reply(uniqueLow: number, uniqueHigh: number, bodyBytes: number): void {
    const words = this.answer.words;
    words[0] = OUT_HEADER_SIZE + bodyBytes;
    words[1] = 0;
    words[2] = uniqueLow;
    words[3] = kernelHigh(uniqueHigh);
    this.#send(uniqueHigh, this.answer.address, OUT_HEADER_SIZE + bodyBytes);
  }

  /** Answers with `length` bytes that lie elsewhere. */
  replyData(uniqueLow: number, uniqueHigh: number, address: number, length: number): void {
    const fd = this.fdFor(uniqueHigh);
    const high = kernelHigh(uniqueHigh);
    if (fd >= 0) this.#gather(fd, 0, uniqueLow, high, OUT_HEADER_SIZE, address, length);
  }

  /**
   * Tells the kernel something of its own accord: `code` of Notify, `bytes` of
   * the notification's struct (written to `notice` beforehand), then data.
   * The result or -errno: -ENOENT where the kernel knows no such inode. `fd`: the superblock's.
   */
  notify(code: number, bytes: number, address: number, length: number, fd = this.fd): number {
    return this.#gather(fd, code, 0, 0, OUT_HEADER_SIZE + bytes, address, length);
  }

  /** Where the struct of a notification is written. */
  get notice(): DataView<ArrayBuffer> {
    return this.#notice;
  }
  readonly #notice = new DataView(this.#header.view.buffer, OUT_HEADER_SIZE);

  #send(uniqueHigh: number, address: number, length: number): void {
    const fd = this.fdFor(uniqueHigh);
    if (fd >= 0) this.noteSent(write(fd, address, length));
  }

  /** Descriptor of the superblock that a request is of; -1 if that has ended. */
  fdFor(uniqueHigh: number): number {
    return this.channels.fdOf(channelOf(uniqueHigh));
  }

  #gather(
    fd: number,
    code: number,
    uniqueLow: number,
    uniqueHigh: number,
    head: number,
    address: number,
    length: number,
  ): number {
    const words = this.#header.words;
    words[0] = head + length;
    words[1] = code;
    words[2] = uniqueLow;
    words[3] = uniqueHigh;
    this.#iov.set(0, this.#header.address, head);
    this.#iov.set(1, address, length);
    const result = writev(fd, this.#iov.address, length > 0 ? 2 : 1);
    if (code === 0) this.noteSent(result);
    return result;
  }

  /** Takes note of what came of an answer. */
  noteSent(result: number): void {
    // ENOENT: the caller is gone, nobody wants the answer.
    if (result < 0 && result !== -E.ENOENT && result !== -E.ENODEV) this.refused++;
  }
}
