/**
 * Frames that were made and that the peer has not acknowledged, in a ring of memory:
 * made where they lie, sent from there, and sent again from there over another
 * connection. A frame never lies across the end of the memory. The payload of an outside frame
 * lies elsewhere (pipestore.ts), and here only what comes before it.
 *
 *     0 … tail        head … boundary … sent … wrap … end
 *     | newer |  room | sent   | partly     | older | unused |
 */
import { allocate, free, type Region } from "../sys/memory.ts";
import { ProtocolError } from "../wire/error.ts";
import { putPrefix } from "../wire/frame.ts";
import { PREFIX_BYTES, STREAM_CHUNK_MAX, UNACKNOWLEDGED_MAX } from "../wire/limits.ts";
import { Writer } from "../wire/writer.ts";

/** Header of any message of a stream: an array of four integers. */
const HEADER_ROOM = 1 + 4 * 9;
/** The longest frame that the ring takes. */
const FRAME_ROOM = PREFIX_BYTES + HEADER_ROOM + STREAM_CHUNK_MAX;
const HEADER_MASK = 0xff_ffff;

/** A frame whose payload is not in the ring. */
interface Outside {
  /** Where the frame lies, and where what is sent before the payload ends. */
  readonly at: number;
  readonly end: number;
  readonly length: number;
  /** Of the payload, once it is in memory; 0 before. */
  address: number;
}

export class FrameRing {
  readonly writer: Writer;
  readonly #memory: Region;
  readonly #size: number;
  /** The oldest frame kept; where the next one goes; where the older ones end once newer lie before them. */
  #head = 0;
  #tail = 0;
  #wrap = 0;
  #wrapped = false;
  /** The first frame that is not sent whole, the first byte not sent, and what is left of that frame once begun. */
  #boundary = 0;
  #sent = 0;
  #frameLeft = 0;
  #frame = 0;
  #kind = 0;
  /** Outside frames that are not acknowledged, in order, how many of them were sent whole, and what is left of one's payload that is next. */
  readonly #outside: Outside[] = [];
  #outsideSent = 0;
  #payloadLeft = 0;
  /** An outside frame is acknowledged. */
  readonly #dropped: (length: number) => void;
  /** Bytes that wait to be sent. */
  unsent = 0;
  /** Frames made, sent whole on this connection and on any, and acknowledged, since the beginning. */
  made = 0;
  sentWhole = 0;
  everSent = 0;
  acknowledged = 0;

  /** `dropped` is told the length of the payload of each outside frame that is acknowledged. */
  constructor(size = UNACKNOWLEDGED_MAX, dropped: (length: number) => void = () => {}) {
    this.#size = size;
    this.#dropped = dropped;
    this.#memory = allocate(size);
    this.writer = new Writer(this.#memory);
  }

  /** Whether another frame of any length can be made. */
  get hasRoom(): boolean {
    if (this.#wrapped) return this.#head - this.#tail > FRAME_ROOM;
    return this.#size - this.#tail >= FRAME_ROOM || this.#head > FRAME_ROOM;
  }

  /** Starts a frame of `kind`, whose header is written by the result; needs `hasRoom`. */
  begin(kind: number): Writer {
    if (!this.#wrapped && this.#size - this.#tail < FRAME_ROOM) {
      this.#wrap = this.#tail;
      this.#wrapped = true;
      this.#tail = 0;
      this.#normalize();
    }
    this.#frame = this.#tail;
    this.#kind = kind;
    this.writer.at = this.#frame + PREFIX_BYTES;
    return this.writer;
  }

  /** Address of room for the payload of the frame begun last. */
  get payloadRoom(): number {
    return this.#memory.address + this.writer.at;
  }

  /** Completes the frame begun last, whose payload of `length` bytes is in its place. */
  seal(length: number): void {
    const header = this.writer.at - this.#frame - PREFIX_BYTES;
    if (header > HEADER_ROOM || length > STREAM_CHUNK_MAX) {
      throw new ProtocolError(`own frame of ${header} + ${length} bytes exceeds the ring's`);
    }
    putPrefix(this.#memory.view, this.#frame, this.#kind, header, length);
    const bytes = PREFIX_BYTES + header + length;
    this.#tail += bytes;
    this.unsent += bytes;
    this.made++;
  }

  /** Completes the frame begun last, whose payload of `length` bytes lies elsewhere. */
  sealOutside(length: number): void {
    const at = this.#frame;
    const end = this.writer.at;
    putPrefix(this.#memory.view, at, this.#kind, end - at - PREFIX_BYTES, length);
    this.#outside.push({ at, end, length, address: 0 });
    this.#tail = end;
    this.unsent += end - at + length;
    this.made++;
  }

  /** Whether all outside frames have been sent whole. */
  get isOutsideSent(): boolean {
    return this.#outsideSent === this.#outside.length;
  }

  /** Bytes left of an outside frame's payload, if that is to be sent now. */
  get payloadLeft(): number {
    return this.#payloadLeft;
  }

  /** Where they lie, or 0: in a pipe still. */
  get payloadAddress(): number {
    const { address, length } = this.#outside[this.#outsideSent] as Outside;
    return address === 0 ? 0 : address + length - this.#payloadLeft;
  }

  /** Bytes of all payloads of outside frames. */
  get outsideKept(): number {
    let sum = 0;
    for (const { length } of this.#outside) sum += length;
    return sum;
  }

  /** The payloads of all outside frames lie in memory from `address` on. */
  locateOutside(address: number): void {
    let at = address;
    for (const outside of this.#outside) {
      outside.address = at;
      at += outside.length;
    }
  }

  /** Whether a frame has been sent in part. */
  get isMidFrame(): boolean {
    return this.#frameLeft > 0;
  }

  /** Bytes left of the frame that was sent in part. */
  get frameLeft(): number {
    return this.#frameLeft;
  }

  get sendAddress(): number {
    return this.#memory.address + this.#sent;
  }

  /** Bytes at `sendAddress` that can be sent at once. */
  get sendLength(): number {
    if (this.unsent === 0 || this.#payloadLeft > 0) return 0;
    const end = this.#isOlder(this.#sent) ? this.#wrap : this.#tail;
    const next = this.#outside[this.#outsideSent]?.end ?? 0;
    return (next > this.#sent && next < end ? next : end) - this.#sent;
  }

  /** `bytes` at `sendAddress`, at most `sendLength`, were sent. */
  account(bytes: number): void {
    this.#sent += bytes;
    this.#accountFrames(bytes);
    const outside = this.#outside[this.#outsideSent];
    if (outside !== undefined && this.#sent === outside.end) this.#payloadLeft = outside.length;
    this.#normalize();
  }

  /** `bytes` of the payload that was to be sent were sent. */
  accountPayload(bytes: number): void {
    this.#payloadLeft -= bytes;
    if (this.#payloadLeft === 0) this.#outsideSent++;
    this.#accountFrames(bytes);
    this.#normalize();
  }

  #accountFrames(bytes: number): void {
    this.unsent -= bytes;
    for (let left = bytes; left > 0; ) {
      if (this.#frameLeft === 0) this.#frameLeft = this.#lengthAt(this.#boundary);
      const part = Math.min(left, this.#frameLeft);
      this.#frameLeft -= part;
      left -= part;
      if (this.#frameLeft > 0) continue;
      this.#boundary = this.#after(this.#boundary);
      this.sentWhole++;
    }
    if (this.sentWhole > this.everSent) this.everSent = this.sentWhole;
  }

  /** The peer has the first `count` frames; throws where it cannot have them. */
  acknowledge(count: number): void {
    if (count <= this.acknowledged || count > this.sentWhole) {
      throw new ProtocolError(
        `acknowledges ${count} frames after ${this.acknowledged} of ${this.sentWhole}`,
      );
    }
    this.#drop(count);
  }

  /** All but the first `count` frames, which the peer has, are to be sent again. */
  rewind(count: number): void {
    if (count < this.acknowledged || count > this.everSent) {
      throw new ProtocolError(
        `resumes after ${count} frames, not ${this.acknowledged} to ${this.everSent}`,
      );
    }
    this.#frameLeft = 0;
    this.#payloadLeft = 0;
    this.#drop(count);
    this.sentWhole = count;
    this.#outsideSent = 0;
    this.#boundary = this.#head;
    this.#sent = this.#head;
    this.unsent = this.kept;
  }

  free(): void {
    free(this.#memory);
  }

  /** Bytes of all frames kept. */
  get kept(): number {
    const inside = this.#wrapped ? this.#wrap - this.#head + this.#tail : this.#tail - this.#head;
    return inside + this.outsideKept;
  }

  #drop(count: number): void {
    for (; this.acknowledged < count; this.acknowledged++) {
      const next = this.#after(this.#head);
      if (this.#outside[0]?.at === this.#head) this.#dropOutside();
      this.#head = next;
      if (this.#head === 0) this.#wrapped = false;
    }
    // Memory that was touched before is used first, as long as it suffices.
    if (this.made > count || this.#wrapped) return;
    this.#head = 0;
    this.#tail = 0;
    this.#sent = 0;
    this.#boundary = 0;
  }

  #dropOutside(): void {
    const outside = this.#outside.shift() as Outside;
    this.#outsideSent = Math.max(0, this.#outsideSent - 1);
    this.#dropped(outside.length);
  }

  #isOlder(at: number): boolean {
    return this.#wrapped && at >= this.#head;
  }

  /** Where the frame behind the one at `at` lies. */
  #after(at: number): number {
    const outside = this.#outside.find((one) => one.at === at);
    const next = outside?.end ?? at + this.#lengthAt(at);
    return this.#wrapped && next === this.#wrap ? 0 : next;
  }

  /** What has come to the end of the older frames goes on at the newer ones. */
  #normalize(): void {
    if (!this.#wrapped) return;
    if (this.#sent === this.#wrap) this.#sent = 0;
    if (this.#boundary === this.#wrap) this.#boundary = 0;
  }

  #lengthAt(at: number): number {
    const { view } = this.#memory;
    const header = view.getUint32(at + 4, true) & HEADER_MASK;
    return PREFIX_BYTES + header + view.getUint32(at, true);
  }
}
