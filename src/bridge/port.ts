/**
 * The descriptor at the end of a pump: how it is read, written and ended.
 *
 * Nothing here waits. Sockets are told so at each call, for their description may
 * be somebody else's too; pipes and terminals must have been opened with O_NONBLOCK.
 */
import { E } from "../sys/errno.ts";
import { read, setPipeSize, write } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { MSG_OOB } from "../sys/message.ts";
import { recv, SHUT_RD, SHUT_WR, send, shutdown } from "../sys/socket.ts";

const WIDEN_BYTES = 512 * 1024;

/** The byte that is sent out of band. */
const urgent = allocate(8);

/** What a descriptor is. */
export const Shape = {
  /** A unix STREAM socket: both directions, each with an end of its own. */
  SOCKET: 0,
  /** The end of a pipe or FIFO that is read. */
  READ_END: 1,
  /** The end that is written. */
  WRITE_END: 2,
  /** A terminal or the master of one: both directions, with one end. */
  TERMINAL: 3,
  /** What a terminal, or the master of one, shows: it is read only. */
  TERMINAL_READER: 4,
} as const;

export type Shape = (typeof Shape)[keyof typeof Shape];

export class Port {
  readonly fd: number;
  readonly shape: Shape;
  /** Others have the same socket, and use it when this end of it is over: it is never shut down but for one who lives. */
  readonly #isShared: boolean;
  #isAbandoned = false;
  /** Much goes through the pipe: it is worth more system calls to copy less. */
  isWide = false;
  /** What the pipe is to hold once more than WIDEN_BYTES went through it; 0: what it does. */
  #pipeBytes: number;
  #through = 0;

  /** `pipeBytes`: how large a pipe through which much goes is made. */
  constructor(fd: number, shape: Shape, isShared = false, pipeBytes = 0) {
    this.fd = fd;
    this.shape = shape;
    this.#isShared = isShared;
    this.#pipeBytes = pipeBytes;
  }

  /** Both ends of a pipe are woken less often the more it holds. */
  #widen(bytes: number): void {
    if (this.#pipeBytes === 0 || bytes <= 0) return;
    this.#through += bytes;
    if (this.#through < WIDEN_BYTES) return;
    // Less would be had of a user that has many pipes already: then it stays as it is.
    setPipeSize(this.fd, this.#pipeBytes);
    this.#pipeBytes = 0;
    this.isWide = true;
  }

  /** Who reads at the other end of the stream is gone: no end of data is an end for others. */
  abandoned(): void {
    this.#isAbandoned = true;
  }

  /** Whether data comes from it. */
  get reads(): boolean {
    return this.shape !== Shape.WRITE_END;
  }

  /** Whether data goes to it. */
  get writes(): boolean {
    return this.shape !== Shape.READ_END && this.shape !== Shape.TERMINAL_READER;
  }

  /** Whether its two directions end one by one. */
  get halfCloses(): boolean {
    return this.shape === Shape.SOCKET;
  }

  /** Bytes read to `address`, 0 at the end, or -errno. */
  read(address: number, max: number): number {
    if (this.shape === Shape.SOCKET) return recv(this.fd, address, max);
    const got = read(this.fd, address, max);
    this.#widen(got);
    // A terminal whose other end is closed (tty_ioctl(4), pty(7)).
    return got === -E.EIO && this.shape >= Shape.TERMINAL ? 0 : got;
  }

  /** Bytes written, or -errno: EAGAIN where there is no room, EPIPE where nobody reads any more. */
  write(address: number, n: number): number {
    if (this.shape === Shape.SOCKET) return send(this.fd, address, n, 0);
    const wrote = write(this.fd, address, n);
    this.#widen(wrote);
    return wrote === -E.EIO && this.shape === Shape.TERMINAL ? -E.EPIPE : wrote;
  }

  /** Sends one byte out of band: 1 or -errno. */
  sendUrgent(byte: Uint8Array): number {
    urgent.bytes.set(byte.subarray(0, 1));
    return send(this.fd, urgent.address, 1, MSG_OOB);
  }

  /** Nothing more is written: its reader finds the end. */
  endWriting(): void {
    if (this.shape === Shape.SOCKET && !(this.#isShared && this.#isAbandoned)) {
      shutdown(this.fd, SHUT_WR);
    }
  }

  /** Nothing more is read: its writer gets EPIPE. */
  endReading(): void {
    if (this.shape === Shape.SOCKET && !this.#isShared) shutdown(this.fd, SHUT_RD);
  }
}
