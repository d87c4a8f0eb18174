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
import { CLOSED, type Frames } from "../transport/transport.ts";
import { ProtocolError } from "../wire/error.ts";
import { Kind, putPrefix } from "../wire/frame.ts";
import { PREFIX_BYTES, UNACKNOWLEDGED_MAX } from "../wire/limits.ts";
import type { Reader } from "../wire/reader.ts";
import { Writer } from "../wire/writer.ts";
import { FrameRing } from "./framering.ts";

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
  #connection: SocketTransport | undefined;
  /** What is left of an ACK lies at [#ackSent, #ack.at). */
  #ackSent = 0;
  /** STREAM frames taken in, and how many of them the peer was told of. */
  taken = 0;
  #told = 0;
  /** Bytes of those it was not told of. */
  #untold = 0;
  #wantsAck = false;
  /** It has ended for good. */
  closed = false;
  /** Bytes of connections that have ended. */
  #endedIn = 0;
  #endedOut = 0;

  /** `ringBytes`: how much is kept until it is acknowledged. */
  constructor(ringBytes = UNACKNOWLEDGED_MAX) {
    this.#ring = new FrameRing(ringBytes);
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
   */
  attach(connection: SocketTransport, count: number): void {
    this.#ring.rewind(count);
    this.detach();
    this.#connection = connection;
    this.#told = this.taken;
    this.#untold = 0;
    this.#wantsAck = false;
    this.#ackSent = 0;
    this.#ack.at = 0;
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
    free(this.#ack.region);
  }

  /** Takes at most `limit` bytes of what has arrived: how many, or CLOSED where there is no connection any more. */
  receive(limit?: number): number {
    return this.#connection?.receive(limit) ?? CLOSED;
  }

  /** Whether `receive` may have something of which poll(2) does not tell. */
  get hasHeld(): boolean {
    return this.#connection?.channel.hasHeld ?? false;
  }

  /**
   * Steps to the next frame and counts it; false when more bytes are needed. Those of
   * other kinds than STREAM are the owner's to judge.
   */
  next(): boolean {
    const connection = this.#connection;
    while (connection?.next()) {
      if (connection.kind === Kind.ACK) {
        this.#acknowledged(connection.reader);
        continue;
      }
      if (connection.kind === Kind.STREAM) this.#count(connection);
      return true;
    }
    return false;
  }

  #acknowledged(reader: Reader): void {
    if (reader.array() !== 1) throw new ProtocolError("ACK of a wrong length");
    this.#ring.acknowledge(reader.uint());
    reader.finish();
  }

  #count({ reader, payloadLength }: SocketTransport): void {
    this.taken++;
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

  get payloadAddress(): number {
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
    return !this.closed && (this.#ring.unsent > UNSENT_MAX || !this.#ring.hasRoom);
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
      const sent = this.#sendSome(connection.channel);
      if (sent === -E.EAGAIN) return false;
      if (sent < 0 && sent !== -E.EINTR) {
        connection.close();
        return false;
      }
      if (sent > 0) this.#account(connection, sent);
    }
    return connection.flush();
  }

  /** One system call's worth of sending: bytes that left, or -errno. */
  #sendSome(channel: Channel): number {
    const ring = this.#ring;
    // Between two frames alone is there a place for an ACK.
    if (this.#wantsAck && !this.#hasAck && !ring.isMidFrame) this.#makeAck();
    if (!this.#hasAck) {
      const length = this.#wantsAck ? ring.frameLeft : ring.sendLength;
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

  #account(connection: SocketTransport, sent: number): void {
    connection.bytesSent += sent;
    const ofAck = Math.min(sent, this.#ack.at - this.#ackSent);
    this.#ackSent += ofAck;
    this.#ring.account(sent - ofAck);
  }
}
