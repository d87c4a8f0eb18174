/**
 * Frames over a stream socket, plain or with TLS, with non-blocking system calls.
 * Small frames gather in one buffer and leave in one send; a bulk payload goes
 * from where it lies (sendmsg's gather list) or from its file (sendfile).
 */

import { E } from "../sys/errno.ts";
import { allocate, free, type Region } from "../sys/memory.ts";
import { ProtocolError } from "../wire/error.ts";
import { headerBytes, kindOf, payloadBytes, putPrefix } from "../wire/frame.ts";
import { FRAME_MAX, HEADER_MAX, PAYLOAD_MAX, PREFIX_BYTES } from "../wire/limits.ts";
import { Reader } from "../wire/reader.ts";
import { Writer } from "../wire/writer.ts";
import { type Channel, PlainChannel } from "./channel.ts";
import { CLOSED, type PeerIdentity, type Transport, WOULD_BLOCK } from "./transport.ts";

/** Two frames fit, so a frame that wraps is moved rarely. */
const IN_BYTES = 2 * FRAME_MAX;
/** Small frames that gather, and one full frame after them. */
const GATHER_MAX = 128 * 1024;
const OUT_BYTES = GATHER_MAX + FRAME_MAX;
const ZEROS_BYTES = 64 * 1024;

let zeros: Region | undefined;

/** Errors of sendfile(2) that are the connection's, not the file's. */
const OF_CONNECTION: ReadonlySet<number> = new Set([
  -E.EPIPE,
  -E.ECONNRESET,
  -E.ENOTCONN,
  -E.ETIMEDOUT,
  -E.EHOSTUNREACH,
  -E.ENETUNREACH,
]);

let fileHasFailed = false;

/**
 * Whether `endWithFile` may be used. A file that cannot be read after its frame
 * was begun costs the connection, because the frame cannot be completed; files
 * are read before their frame from then on, so that the error can be told.
 */
export function filesCanBeSent(): boolean {
  return !fileHasFailed;
}

export class SocketTransport implements Transport {
  readonly channel: Channel;
  readonly fd: number;
  readonly peer: PeerIdentity;
  readonly reader: Reader;
  kind = 0;
  payloadStart = 0;
  payloadLength = 0;
  bytesReceived = 0;
  bytesSent = 0;
  closed = false;
  /** The errno that ended the connection; 0: the peer has closed it; undefined: it was closed here, if at all. */
  ending: number | undefined;

  readonly #in = allocate(IN_BYTES);
  readonly #out = allocate(OUT_BYTES);
  readonly #writer = new Writer(this.#out);
  /** Received bytes lie at [#head, #tail) of #in. */
  #head = 0;
  #tail = 0;
  /** Bytes to send lie at [#sent, #gathered) of #out. */
  #sent = 0;
  #gathered = 0;
  /** Start and kind of the frame begun last. */
  #frame = 0;
  #kindToSend = 0;
  /** Bulk that follows the gathered bytes: memory, or a file where #bulkFd >= 0. */
  #bulkAddress = 0;
  #bulkLeft = 0;
  #bulkFd = -1;

  constructor(fd: number, peer: PeerIdentity, channel: Channel = new PlainChannel(fd)) {
    this.fd = fd;
    this.channel = channel;
    this.peer = peer;
    this.reader = new Reader(this.#in.bytes, this.#in.view);
  }

  /** One that is closed from the beginning: there is no connection yet. */
  static closed(): SocketTransport {
    const transport = new SocketTransport(-1, { description: "nobody" });
    transport.close();
    return transport;
  }

  get payloadAddress(): number {
    return this.#in.address + this.payloadStart;
  }

  get congested(): boolean {
    return this.#bulkLeft > 0 || this.#gathered > GATHER_MAX;
  }

  get splices(): boolean {
    return this.channel.isPlain;
  }

  get failure(): string | undefined {
    return this.channel.failure;
  }

  get pending(): boolean {
    return this.#isFilled || this.channel.held > 0;
  }

  /** Whether bytes wait that the channel has not taken. */
  get #isFilled(): boolean {
    return this.#gathered > this.#sent || this.#bulkLeft > 0;
  }

  get bytesUntaken(): number {
    return this.closed ? 0 : this.channel.untaken();
  }

  get hasMore(): boolean {
    return this.#tail > this.#head;
  }

  receive(limit = IN_BYTES): number {
    if (this.closed) return CLOSED;
    if (this.#head === this.#tail) {
      this.#head = 0;
      this.#tail = 0;
    } else if (IN_BYTES - this.#head < FRAME_MAX) {
      this.#in.bytes.copyWithin(0, this.#head, this.#tail);
      this.#tail -= this.#head;
      this.#head = 0;
    }
    const room = Math.min(limit, IN_BYTES - this.#tail);
    // Full of frames that wait to be served: recv(2) of nothing would look like the end.
    if (room === 0) return WOULD_BLOCK;
    const got = this.channel.receive(this.#in.address + this.#tail, room);
    if (got > 0) {
      this.#tail += got;
      this.bytesReceived += got;
      return got;
    }
    if (got === -E.EAGAIN || got === -E.EINTR) {
      // A handshake may have come to its end, and what waited for that can go.
      if (!this.channel.isPlain && this.pending) this.flush();
      return WOULD_BLOCK;
    }
    this.fail(-got);
    return CLOSED;
  }

  next(): boolean {
    if (!this.#parse()) return false;
    const end = this.payloadStart + this.payloadLength;
    if (end > this.#tail) return false;
    this.#head = end;
    return true;
  }

  peek(): number {
    return this.#parse() ? this.#tail - this.payloadStart : -1;
  }

  dropPeeked(): void {
    this.#head = this.#tail;
  }

  /** Sets the fields of the frame at the head, if its header is here whole. */
  #parse(): boolean {
    const have = this.#tail - this.#head;
    if (have < PREFIX_BYTES) return false;
    const view = this.#in.view;
    const head = this.#head;
    const payload = payloadBytes(view, head);
    const header = headerBytes(view, head);
    const kind = kindOf(view, head);
    if (have < PREFIX_BYTES + header) return false;
    this.kind = kind;
    this.reader.window(head + PREFIX_BYTES, head + PREFIX_BYTES + header);
    this.payloadStart = head + PREFIX_BYTES + header;
    this.payloadLength = payload;
    return true;
  }

  begin(kind: number): Writer {
    this.#frame = this.#gathered;
    this.#kindToSend = kind;
    this.#writer.at = this.#frame + PREFIX_BYTES;
    return this.#writer;
  }

  /** Completes the header of the frame begun last; false where nobody is left to get it. */
  #seal(payload: number): boolean {
    const header = this.#writer.at - this.#frame - PREFIX_BYTES;
    if (header > HEADER_MAX || payload > PAYLOAD_MAX) {
      throw new ProtocolError(`own frame of ${header} + ${payload} bytes exceeds the limits`);
    }
    if (this.closed) return false;
    putPrefix(this.#out.view, this.#frame, this.#kindToSend, header, payload);
    this.#gathered = this.#writer.at;
    return true;
  }

  end(): void {
    this.#seal(0);
  }

  payloadRoom(): number {
    return this.#out.address + this.#writer.at;
  }

  endInline(length: number): void {
    if (this.#seal(length)) this.#gathered += length;
  }

  endCopy(source: Uint8Array, length: number): void {
    this.#out.bytes.set(source.subarray(0, length), this.#writer.at);
    this.endInline(length);
  }

  endWith(address: number, length: number): void {
    if (!this.#seal(length)) return;
    this.#bulkAddress = address;
    this.#bulkLeft = length;
    this.flush();
  }

  endWithFile(fd: number, offset: number, length: number): void {
    if (!this.#seal(length)) return;
    this.#bulkFd = fd;
    this.#bulkAddress = offset;
    this.#bulkLeft = length;
    this.flush();
  }

  abandon(): void {
    this.#writer.at = this.#frame;
  }

  flush(): boolean {
    while (this.#isFilled) {
      const wrote = this.#sendSome();
      if (wrote === -E.EAGAIN) return false;
      if (wrote < 0 && wrote !== -E.EINTR) {
        this.fail(-wrote);
        return false;
      }
      if (wrote > 0) this.#account(wrote);
    }
    if (this.channel.held === 0) return !this.closed;
    const flushed = this.channel.flush();
    if (flushed < 0 && flushed !== -E.EAGAIN) this.fail(-flushed);
    return flushed === 0;
  }

  /** One system call's worth of sending: bytes that left, or -errno. */
  #sendSome(): number {
    const gathered = this.#gathered - this.#sent;
    const from = this.#out.address + this.#sent;
    const { channel } = this;
    if (this.#bulkLeft === 0) return channel.send(from, gathered);
    if (this.#bulkFd >= 0) {
      if (gathered > 0) return channel.sendMore(from, gathered);
      const sent = channel.sendFile(this.#bulkFd, this.#bulkAddress, this.#bulkLeft);
      if (sent < 0 && sent !== -E.EAGAIN && !OF_CONNECTION.has(sent)) fileHasFailed = true;
      // The file became shorter than promised: the frame is filled up with zeros.
      return sent === 0 ? this.#sendZeros() : sent;
    }
    if (gathered === 0) return channel.send(this.#bulkAddress, this.#bulkLeft);
    return channel.sendBoth(from, gathered, this.#bulkAddress, this.#bulkLeft);
  }

  #sendZeros(): number {
    zeros ??= allocate(ZEROS_BYTES);
    return this.channel.send(zeros.address, Math.min(this.#bulkLeft, ZEROS_BYTES));
  }

  #account(wrote: number): void {
    this.bytesSent += wrote;
    const gathered = this.#gathered - this.#sent;
    const ofGathered = Math.min(wrote, gathered);
    this.#sent += ofGathered;
    if (this.#sent === this.#gathered) {
      this.#sent = 0;
      this.#gathered = 0;
    }
    const ofBulk = wrote - ofGathered;
    this.#bulkAddress += ofBulk;
    this.#bulkLeft -= ofBulk;
    if (this.#bulkLeft === 0) this.#bulkFd = -1;
  }

  /** The connection was found to have ended. */
  fail(errno: number): void {
    this.ending ??= errno;
    this.close();
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#sent = 0;
    this.#gathered = 0;
    this.#bulkLeft = 0;
    this.#bulkFd = -1;
    this.channel.close();
  }

  /** Returns the buffers' memory; the transport must be closed. */
  release(): void {
    free(this.#in);
    free(this.#out);
  }
}
