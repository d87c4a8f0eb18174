/**
 * Decodes the CBOR of cold messages with cbor-x, after looking at it once.
 *
 * cbor-x knows extensions (tags that make records, sets, errors, references)
 * and takes memory for lengths that are only announced. Peers are strangers, so
 * whatever is not a plain number, text, byte string, array, map, true, false or
 * null of the size that is there is a ProtocolError before cbor-x sees it.
 */
import { decode } from "cbor-x/decode";
import { ProtocolError } from "./error.ts";
import { ITEMS_MAX, NESTING_MAX } from "./limits.ts";

/** Major types of RFC 8949. */
const Major = { BYTES: 2, TEXT: 3, ARRAY: 4, MAP: 5, TAG: 6, SIMPLE: 7 } as const;

function refuse(what: string): never {
  throw new ProtocolError(`CBOR ${what}`);
}

/** One walk over the items, keeping count. */
class Scan {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** Items that may still come, after the outermost. */
  #left = ITEMS_MAX;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Steps over one item that lies `depth` deep. */
  item(depth: number): void {
    if (depth > NESTING_MAX) refuse("is nested too deeply");
    const first = this.#bytes[this.at++] ?? refuse("ends early");
    const major = first >> 5;
    const value = this.#argument(first & 0x1f);
    if (major === Major.TAG) refuse("has a tag");
    if (major === Major.BYTES || major === Major.TEXT) this.#skip(value);
    else if (major === Major.ARRAY) this.#items(value, depth);
    else if (major === Major.MAP) this.#items(2 * value, depth);
  }

  #items(count: number, depth: number): void {
    if (count > this.#left) refuse(`has more than ${ITEMS_MAX} items`);
    this.#left -= count;
    for (let i = 0; i < count; i++) this.item(depth + 1);
  }

  #skip(length: number): void {
    if (length > this.#bytes.length - this.at) refuse("ends early");
    this.at += length;
  }

  /** The number in or after an item's first byte; lengths that are not known are refused. */
  #argument(info: number): number {
    if (info < 24) return info;
    if (info > 27) refuse("has an item of unknown length");
    const width = 1 << (info - 24);
    const at = this.at;
    this.#skip(width);
    if (width === 1) return this.#view.getUint8(at);
    if (width === 2) return this.#view.getUint16(at);
    if (width === 4) return this.#view.getUint32(at);
    return Number(this.#view.getBigUint64(at));
  }
}

/** The one plain item that `bytes` is; ProtocolError for anything else. */
export function decodePlain(bytes: Uint8Array): unknown {
  const scan = new Scan(bytes);
  scan.item(0);
  if (scan.at !== bytes.length) refuse("goes on after its item");
  try {
    return decode(bytes);
  } catch {
    refuse("cannot be decoded");
  }
}
