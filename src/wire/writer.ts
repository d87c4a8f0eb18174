/**
 * Writes CBOR (RFC 8949) by hand into memory that system calls may read: the
 * headers of per-file operations. Integers take their shortest form, so the
 * bytes are what cbor-x would write (test/wire/codec.test.ts holds it to that).
 *
 * The caller knows the size of what it writes; frames reserve HEADER_MAX.
 */
import type { Bytes, Region } from "../sys/memory.ts";

const TWO_32 = 0x1_0000_0000;

export class Writer {
  readonly region: Region;
  readonly bytes: Bytes;
  readonly view: DataView<ArrayBuffer>;
  /** Offset of the next byte. */
  at = 0;

  constructor(region: Region) {
    this.region = region;
    this.bytes = region.bytes;
    this.view = region.view;
  }

  /** Starts an array of `count` items. */
  array(count: number): void {
    this.#head(0x80, count);
  }

  /** An unsigned integer below 2^53. */
  uint(value: number): void {
    if (value < 24) {
      this.bytes[this.at++] = value;
    } else {
      this.#head(0x00, value);
    }
  }

  /** An unsigned 64-bit integer in two halves. */
  uint64(high: number, low: number): void {
    if (high === 0) {
      this.uint(low);
      return;
    }
    const view = this.view;
    view.setUint8(this.at, 0x1b);
    view.setUint32(this.at + 1, high);
    view.setUint32(this.at + 5, low);
    this.at += 9;
  }

  /** A signed integer of at most 53 bits. */
  int(value: number): void {
    if (value >= 0) this.uint(value);
    else this.#head(0x20, -1 - value);
  }

  /** A byte string copied from `source[start..end)`. */
  blob(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.#head(0x40, length);
    const bytes = this.bytes;
    let at = this.at;
    for (let i = start; i < end; i++) bytes[at++] = source[i] as number;
    this.at = at;
  }

  /** A byte string from a string whose characters are bytes. */
  latin1(text: string): void {
    this.#head(0x40, text.length);
    this.bytes.latin1Write(text, this.at);
    this.at += text.length;
  }

  #head(major: number, value: number): void {
    const view = this.view;
    const at = this.at;
    if (value < 24) {
      view.setUint8(at, major | value);
      this.at = at + 1;
    } else if (value < 0x100) {
      view.setUint16(at, ((major | 0x18) << 8) | value);
      this.at = at + 2;
    } else if (value < 0x10000) {
      view.setUint8(at, major | 0x19);
      view.setUint16(at + 1, value);
      this.at = at + 3;
    } else if (value < TWO_32) {
      view.setUint8(at, major | 0x1a);
      view.setUint32(at + 1, value);
      this.at = at + 5;
    } else {
      view.setUint8(at, major | 0x1b);
      view.setUint32(at + 1, Math.floor(value / TWO_32));
      view.setUint32(at + 5, value % TWO_32);
      this.at = at + 9;
    }
  }
}
