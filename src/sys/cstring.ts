/** NUL-terminated strings at addresses that system calls can take. */
import { allocate, type Bytes } from "./memory.ts";

/** PATH_MAX (`linux/limits.h`) and room for one more name behind a full path. */
const SLOT_SIZE = 4096 + 256;

/** The longest text a slot takes, in bytes; the last byte is the terminator's. */
export const MAX_TEXT_BYTES = SLOT_SIZE - 1;

/** A UTF-16 unit becomes at most three bytes of UTF-8. */
const MAX_UTF8_PER_UNIT = 3;

function refuse(what: string): never {
  throw new RangeError(`A path ${what}`);
}

/**
 * `count` slots for the path arguments of one call.
 *
 * An address stays right for ever, its text until the slot is written again.
 * Every `put` throws RangeError for a text of more than MAX_TEXT_BYTES bytes,
 * for one with a NUL inside (the kernel would act on a shorter path than the
 * one that was checked) and for a slot that does not exist.
 */
export class PathBuffer {
  private readonly bytes: Bytes;
  private readonly address: number;
  private readonly count: number;

  constructor(count = 4) {
    const region = allocate(count * SLOT_SIZE);
    this.bytes = region.bytes;
    this.address = region.address;
    this.count = count;
  }

  /** Stores `text` as UTF-8 in slot `index`; returns its address. */
  put(index: number, text: string): number {
    const start = this.start(index);
    if (
      text.length * MAX_UTF8_PER_UNIT > MAX_TEXT_BYTES &&
      Buffer.byteLength(text) > MAX_TEXT_BYTES
    ) {
      refuse("is too long");
    }
    if (text.includes("\0")) refuse("holds a NUL");
    const length = this.bytes.utf8Write(text, start, MAX_TEXT_BYTES);
    return this.end(start, length);
  }

  /** Stores `text`, whose characters are bytes (names on the wire), in slot `index`. */
  putLatin1(index: number, text: string): number {
    const start = this.start(index);
    if (text.length > MAX_TEXT_BYTES) refuse("is too long");
    if (text.includes("\0")) refuse("holds a NUL");
    const length = this.bytes.latin1Write(text, start, MAX_TEXT_BYTES);
    return this.end(start, length);
  }

  /** Stores `bytes[start..end)` in slot `index`; returns its address. */
  putBytes(index: number, bytes: Uint8Array, start: number, end: number): number {
    const target = this.start(index);
    if (end - start > MAX_TEXT_BYTES) refuse("is too long");
    for (let i = start; i < end; i++) {
      const byte = bytes[i] ?? 0;
      if (byte === 0) refuse("holds a NUL");
      this.bytes[target + i - start] = byte;
    }
    return this.end(target, end - start);
  }

  private start(index: number): number {
    if (!(index >= 0 && index < this.count)) refuse(`slot ${index} does not exist`);
    return index * SLOT_SIZE;
  }

  private end(start: number, length: number): number {
    this.bytes[start + length] = 0;
    return this.address + start;
  }
}

const RING_SLOTS = 8;
const ring = new PathBuffer(RING_SLOTS);
let next = 0;

/**
 * Stores `text` as UTF-8 for a cold caller and returns its address.
 *
 * The text lives until the eighth call after this one in the same thread.
 */
export function cstring(text: string): number {
  const address = ring.put(next, text);
  next = (next + 1) % RING_SLOTS;
  return address;
}
