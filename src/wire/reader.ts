/**
 * Reads the CBOR of per-file operations by hand, in place, without allocating.
 * The bytes are a peer's: whatever is not exactly as expected, or reaches past
 * `end`, is a ProtocolError.
 */
import type { Bytes } from "../sys/memory.ts";
import { ProtocolError } from "./error.ts";

const TWO_32 = 0x1_0000_0000;
const SAFE_HIGH = 0x1f_ffff;

export class Reader {
  readonly bytes: Bytes;
  readonly view: DataView<ArrayBuffer>;
  at = 0;
  end = 0;
  /** Halves of the integer read last by `uint64`. */
  high = 0;
  low = 0;
  /** Start of the byte string read last by `blob`; its end is `at`. */
  start = 0;

  constructor(bytes: Bytes, view: DataView<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = view;
  }

  /** Looks at `[start, end)` of the memory from now on. */
  window(start: number, end: number): void {
    this.at = start;
    this.end = end;
  }

  /** The number of items of the array that starts here. */
  array(): number {
    return this.#head(0x80);
  }

  /** An unsigned integer below 2^53. */
  uint(): number {
    const at = this.at;
    if (at < this.end) {
      const first = this.view.getUint8(at);
      if (first < 24) {
        this.at = at + 1;
        return first;
      }
    }
    return this.#head(0x00);
  }

  /** An unsigned integer of at most 32 bits. */
  uint32(): number {
    const value = this.uint();
    if (value >= TWO_32) throw new ProtocolError("integer exceeds 32 bits");
    return value;
  }

  /** An unsigned 64-bit integer, left in `high` and `low`. */
  uint64(): void {
    if (this.at + 9 <= this.end && this.view.getUint8(this.at) === 0x1b) {
      this.high = this.view.getUint32(this.at + 1);
      this.low = this.view.getUint32(this.at + 5);
      this.at += 9;
      return;
    }
    const value = this.uint();
    this.high = Math.floor(value / TWO_32);
    this.low = value % TWO_32;
  }

  /** A signed integer of at most 53 bits. */
  int(): number {
    if (this.at < this.end && this.view.getUint8(this.at) >>> 5 === 1) {
      return -1 - this.#head(0x20);
    }
    return this.uint();
  }

  /** Length of the byte string here, at most `max`; it lies at [`start`, `at`). */
  blob(max: number): number {
    const length = this.#head(0x40);
    if (length > max) throw new ProtocolError(`byte string of ${length} exceeds ${max}`);
    this.start = this.at;
    if (this.at + length > this.end) throw new ProtocolError("byte string reaches past its frame");
    this.at += length;
    return length;
  }

  /** A byte string as text whose characters are bytes. */
  latin1(max: number): string {
    this.blob(max);
    return this.bytes.latin1Slice(this.start, this.at);
  }

  /** Throws unless everything was read. */
  finish(): void {
    if (this.at !== this.end) throw new ProtocolError("header is longer than its operation");
  }

  #head(major: number): number {
    const view = this.view;
    const at = this.at;
    if (at >= this.end) throw new ProtocolError("header ends early");
    const first = view.getUint8(at);
    if ((first & 0xe0) !== major) throw new ProtocolError("header has an item of the wrong type");
    const info = first & 0x1f;
    if (info < 24) {
      this.at = at + 1;
      return info;
    }
    const width = info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : info === 27 ? 8 : 0;
    if (width === 0 || at + 1 + width > this.end) throw new ProtocolError("header ends early");
    this.at = at + 1 + width;
    if (width === 1) return view.getUint8(at + 1);
    if (width === 2) return view.getUint16(at + 1);
    if (width === 4) return view.getUint32(at + 1);
    const high = view.getUint32(at + 1);
    if (high > SAFE_HIGH) throw new ProtocolError("integer exceeds 53 bits");
    return high * TWO_32 + view.getUint32(at + 5);
  }
}
