/**
 * What carries streams when connections end: every frame of kind STREAM is counted and
 * kept until the peer has acknowledged it, and goes again over the next connection if
 * the peer did not take it in. Without a connection frames gather until there is no room.
 *
 * The owner gives it connections after their handshake, in which both sides have said
 * how many frames they took in (`taken`), receives and steps through frames all the
 * time (a congested end too: acknowledgements make room), and flushes.
 */
import { E } from "../sys/errno.ts";
import { allocate, free } from "../sys/memory.ts";
import type { Channel } from "../transport/channel.ts";
import type { SocketTransport } from "../transport/socket.ts";
import { CLOSED, type Frames, WOULD_BLOCK } from "../transport/transport.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind, putPrefix } from "../wire/frame.ts";
import {
  PREFIX_BYTES,
  STREAM_CHUNK_MAX,
  STREAM_SPLICED_MAX,
  UNACKNOWLEDGED_MAX,
} from "../wire/limits.ts";
import type { Reader } from "../wire/reader.ts";
import { Writer } from "../wire/writer.ts";
import { FrameRing } from "./framering.ts";
import { PIPED_MIN, PipedPayload } from "./pipedpayload.ts";
import { PipeStore } from "./pipestore.ts";

/** Frames wait to be sent up to so many bytes: what is asked for next shall not wait behind more. */
const UNSENT_MAX = 256 * 1024;
/** So many bytes taken in are acknowledged at once; fewer when `acknowledge` is called. */
const ACK_BYTES = 256 * 1024;
/** An ACK: its prefix, an array, an integer. */
const ACK_ROOM = PREFIX_BYTES + 1 + 9;

const nobody = new Writer(allocate(0x20000));

export class Resumable implements Frames {
  readonly #ring: FrameRing;
  readonly #ack = new Writer(allocate(ACK_ROOM));
  /** Made when it is first needed; null: it cannot be had. */
  #store: PipeStore | undefined | null;
  #connection: SocketTransport | undefined;
  #splicedMax = STREAM_CHUNK_MAX;
  /** What is left of an ACK lies at [#ackSent, #ack.at). */
  #ackSent = 0;
  /** STREAM frames taken in, and how many of them the peer was told of. */
  taken = 0;
  #told = 0;
  /** Bytes of those it was not told of. */
  #untold = 0;
  #wantsAck = false;
  /** A large payload that is received, or has just been, to a pipe; null: that cannot be. */
  #piped: PipedPayload | undefined | null;
  #isPiping = false;
  #isPiped = false;
  /** Bytes before the payload of the next frame if that is like the last one, whose payload was wanted in a pipe; 0: it was not. */
  #pipedHeader = 0;
  #lastHeader = 0;
  /** It has ended for good. */
  closed = false;
  /** Bytes of connections that have ended. */
  #endedIn = 0;
  #endedOut = 0;

  /** `ringBytes`: how much is kept until it is acknowledged. */
  constructor(ringBytes = UNACKNOWLEDGED_MAX) {
    this.#ring = new FrameRing(ringBytes, (length) => this.#store?.drop(length));
  }

  /** The connection there is. */
  get connection(): SocketTransport | undefined {
    return this.#connection;
  }

  get bytesReceived(): number {
    return this.#endedIn + (this.#connection?.bytesReceived ?? 0);
  }

  get bytesSent(): number {
    return this.#endedOut + (this.#connection?.bytesSent ?? 0);
  }

  /** Bytes made that the peer has not acknowledged. */
  get unacknowledged(): number {
    return this.#ring.kept;
  }

  /**
   * Goes on over `connection`, owned from now on, whose peer has taken in `count` frames
   * and was told of `taken`; throws ProtocolError where it cannot have, and owns nothing then.
   * `splicedMax`: bytes of a frame's payload that it takes where they are spliced.
   */
  attach(connection: SocketTransport, count: number, splicedMax = STREAM_CHUNK_MAX): void {
    this.#ring.rewind(count);
    const { outsideKept } = this.#ring;
    if (outsideKept > 0) this.#ring.locateOutside(this.#store?.load(outsideKept) ?? 0);
    this.detach();
    this.#connection = connection;
    this.#splicedMax = splicedMax;
    this.#told = this.taken;
    this.#untold = 0;
    this.#wantsAck = false;
    this.#ackSent = 0;
    this.#ack.at = 0;
    this.#piped?.clear();
    this.#isPiping = false;
    this.#isPiped = false;
  }

  /** The connection has ended, or is to: what was not taken in is kept for the next. */
  detach(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    this.#connection = undefined;
    this.#endedIn += connection.bytesReceived;
    this.#endedOut += connection.bytesSent;
    connection.close();
    connection.release();
  }

  /** Ends for good; frames may still be made, and go nowhere. */
  close(): void {
    if (this.closed) return;
    this.detach();
    this.closed = true;
    this.#ring.free();
    this.#store?.close();
    this.#store = null;
    this.#piped?.close();
    this.#piped = null;
    free(this.#ack.region);
  }

  /** Takes at most `limit` bytes of what has arrived: how many, or CLOSED where there is no connection any more. */
  receive(limit?: number): number {
    const connection = this.#connection;
    if (connection === undefined) return CLOSED;
    if (this.#isPiping) return this.#receivePiped(connection);
    // What comes behind the next frame's header is left in the socket.
    const isAlone = this.#pipedHeader > 0 && !connection.hasMore;
    return connection.receive(isAlone ? this.#pipedHeader : limit);
  }

  #receivePiped(connection: SocketTransport): number {
    const got = this.#piped?.receive(connection.fd) ?? -E.EINVAL;
    if (got > 0) {
      connection.bytesReceived += got;
      return got;
    }
    if (got === -E.EAGAIN || got === -E.EINTR) return WOULD_BLOCK;
    connection.fail(-got);
    return CLOSED;
  }

  get wantsPipe(): boolean {
    return this.#pipedHeader > 0;
  }

  /** Whether the payload of the frame at hand was wanted in a pipe: the next one may come in one. */
  set wantsPipe(wants: boolean) {
    this.#pipedHeader = wants ? this.#lastHeader : 0;
  }

  get payloadPipe(): number {
    return this.#isPiped ? (this.#piped?.fd ?? -1) : -1;
  }

  /** Steps to a frame whose payload has come to a pipe, or begins to receive one. */
  #nextPiped(connection: SocketTransport): boolean {
    if (!this.#isPiping) {
      if (this.#pipedHeader > 0) this.#beginPiped(connection);
      return false;
    }
    if ((this.#piped?.left ?? 0) > 0) return false;
    this.#isPiping = false;
    this.#isPiped = true;
    connection.dropPeeked();
    this.#count(connection);
    return true;
  }

  #beginPiped(connection: SocketTransport): void {
    if (!connection.splices || connection.peek() !== 0 || connection.kind !== Kind.STREAM) return;
    const { payloadLength } = connection;
    if (payloadLength < PIPED_MIN || payloadLength > STREAM_SPLICED_MAX) return;
    if (this.#piped === undefined) this.#piped = PipedPayload.make() ?? null;
    if (this.#piped === null) return;
    this.#piped.begin(payloadLength);
    this.#isPiping = true;
  }

  /** Whether `receive` may have something of which poll(2) does not tell. */
  get hasHeld(): boolean {
    return this.#connection?.channel.hasHeld ?? false;
  }

  /** Whether more may have come than `receive` was willing to take. */
  get comesApart(): boolean {
    return this.#isPiping || this.#pipedHeader > 0;
  }

  /**
   * Steps to the next frame and counts it; false when more bytes are needed. Those of
   * other kinds than STREAM are the owner's to judge.
   */
  next(): boolean {
    const connection = this.#connection;
    this.#isPiped = false;
    if (connection === undefined) return false;
    while (!this.#isPiping && connection.next()) {
      if (connection.kind === Kind.ACK) {
        this.#acknowledged(connection.reader);
        continue;
      }
      if (connection.kind === Kind.STREAM) this.#count(connection);
      return true;
    }
    return this.#nextPiped(connection);
  }

  #acknowledged(reader: Reader): void {
    if (reader.array() !== 1) throw new ProtocolError("ACK of a wrong length");
    this.#ring.acknowledge(reader.uint());
    reader.finish();
  }

  #count({ reader, payloadLength }: SocketTransport): void {
    this.taken++;
    this.#lastHeader = PREFIX_BYTES + reader.end - reader.at;
    this.#untold += PREFIX_BYTES + reader.end - reader.at + payloadLength;
    if (this.#untold >= ACK_BYTES) this.#wantsAck = true;
  }

  /** Whether frames were taken in that the peer has not been told of. */
  get owesAck(): boolean {
    return this.taken > this.#told;
  }

  /** Has the next `flush` tell the peer what was taken in. */
  acknowledge(): void {
    this.#wantsAck = this.owesAck;
  }

  get kind(): number {
    return this.#there.kind;
  }

  get reader(): Reader {
    return this.#there.reader;
  }

  get payloadStart(): number {
    return this.#there.payloadStart;
  }

  get payloadBytes(): Uint8Array {
    if (this.#isPiped && this.#piped)
      return this.#piped.memory.bytes.subarray(0, this.payloadLength);
    const { reader, payloadStart, payloadLength } = this.#there;
    return reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  }

  get payloadAddress(): number {
    if (this.#isPiped && this.#piped) return this.#piped.memory.address;
    return this.#there.payloadAddress;
  }

  get payloadLength(): number {
    return this.#there.payloadLength;
  }

  get #there(): SocketTransport {
    if (this.#connection === undefined)
      throw new Error("A frame is looked at without a connection");
    return this.#connection;
  }

  get congested(): boolean {
    const ring = this.#ring;
    return !this.closed && (ring.unsent > UNSENT_MAX || !ring.hasRoom || !ring.isOutsideSent);
  }

  begin(kind: number): Writer {
    if (!this.closed) return this.#ring.begin(kind);
    nobody.at = 0;
    return nobody;
  }

  end(): void {
    this.endInline(0);
  }

  payloadRoom(): number {
    return this.closed ? nobody.region.address + nobody.at : this.#ring.payloadRoom;
  }

  endInline(length: number): void {
    if (!this.closed) this.#ring.seal(length);
  }

  endCopy(source: Uint8Array, length: number): void {
    if (this.closed) return;
    const { bytes, at } = this.#ring.writer;
    bytes.set(source.subarray(0, length), at);
    this.#ring.seal(length);
  }

  get pipeMax(): number {
    if (this.closed || this.#store === null || !this.#ring.isOutsideSent) return 0;
    if (this.#connection?.splices !== true || this.#connection.closed) return 0;
    this.#store ??= PipeStore.make() ?? null;
    return this.#store?.hasRoom === true ? Math.min(this.#store.payloadMax, this.#splicedMax) : 0;
  }

  endFromPipe(fd: number, max: number): number {
    const got = this.#store?.take(fd, max) ?? -E.EINVAL;
    if (got <= 0) return got;
    this.#ring.sealOutside(got);
    // The next one can be taken only once this one has gone.
    this.flush();
    return got;
  }

  abandon(): void {
    // What was begun lies where the next frame begins.
  }

  /** Whether anything is left to send. */
  get pending(): boolean {
    const connection = this.#connection;
    if (connection === undefined) return false;
    return connection.pending || this.#ring.unsent > 0 || this.#hasAck || this.#wantsAck;
  }

  get #hasAck(): boolean {
    return this.#ackSent < this.#ack.at;
  }

  /** Sends what there is; false when the peer must read first, or there is no connection. */
  flush(): boolean {
    const connection = this.#connection;
    // First what the owner has said in the handshake.
    if (connection === undefined || !connection.flush()) return false;
    while (this.#ring.unsent > 0 || this.#hasAck || this.#wantsAck) {
      const isPayload = this.#ring.payloadLeft > 0;
      const sent = isPayload
        ? this.#sendPayload(connection.channel)
        : this.#sendSome(connection.channel);
      if (sent === -E.EAGAIN) return false;
      if (sent < 0 && sent !== -E.EINTR) {
        connection.fail(-sent);
        return false;
      }
      if (sent <= 0) continue;
      connection.bytesSent += sent;
      if (isPayload) this.#ring.accountPayload(sent);
      else this.#account(sent);
    }
    return connection.flush();
  }

  /** The same of an outside frame's payload. */
  #sendPayload(channel: Channel): number {
    const { payloadAddress, payloadLeft } = this.#ring;
    if (payloadAddress !== 0) return channel.send(payloadAddress, payloadLeft);
    return channel.sendPipe?.(this.#store?.fd ?? -1, payloadLeft) ?? -E.EINVAL;
  }

  /** One system call's worth of sending: bytes that left, or -errno. */
  #sendSome(channel: Channel): number {
    const ring = this.#ring;
    // Between two frames alone is there a place for an ACK.
    if (this.#wantsAck && !this.#hasAck && !ring.isMidFrame) this.#makeAck();
    if (!this.#hasAck) {
      const { sendLength } = ring;
      const length = this.#wantsAck ? Math.min(ring.frameLeft, sendLength) : sendLength;
      return channel.send(ring.sendAddress, length);
    }
    const ackAddress = this.#ack.region.address + this.#ackSent;
    const ackLength = this.#ack.at - this.#ackSent;
    if (ring.unsent === 0) return channel.send(ackAddress, ackLength);
    return channel.sendBoth(ackAddress, ackLength, ring.sendAddress, ring.sendLength);
  }

  #makeAck(): void {
    const w = this.#ack;
    w.at = PREFIX_BYTES;
    w.array(1);
    w.uint(this.taken);
    putPrefix(w.view, 0, Kind.ACK, w.at - PREFIX_BYTES, 0);
    this.#ackSent = 0;
    this.#told = this.taken;
    this.#untold = 0;
    this.#wantsAck = false;
  }

  #account(sent: number): void {
    const ofAck = Math.min(sent, this.#ack.at - this.#ackSent);
    this.#ackSent += ofAck;
    this.#ring.account(sent - ofAck);
  }
}
