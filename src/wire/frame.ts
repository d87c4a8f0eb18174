/**
 * The frame: a prefix of eight bytes, a CBOR header, a raw payload.
 *
 *     0        4      7      8
 *     | payload | header | kind | header … | payload … |
 *       u32 LE    u24 LE   u8
 */
import { ProtocolError } from "./error.ts";
import { HEADER_MAX, PAYLOAD_MAX } from "./limits.ts";

/** What a frame is, in its prefix. */
export const Kind = {
  /** Handshake, either way; a map in CBOR. */
  HELLO: 0,
  /** The sender closes the connection; `[code, reason]`. */
  GOODBYE: 1,
  /** `[slot, sequence, op, …arguments]` */
  REQUEST: 2,
  /** `[slot, sequence, errno, …results]` */
  REPLY: 3,
  /** `[op, …arguments]`, never answered. */
  ONEWAY: 4,
  /** `[slot, sequence]`: the request's answer is wanted at once. */
  CANCEL: 5,
  /** `[event, …arguments]` from the server. */
  EVENT: 6,
  /** `[stream, …]` a part of a multiplexed byte stream. */
  STREAM: 7,
  /** `[frames]` of kind STREAM that the sender of this has taken in since the session began. */
  ACK: 8,
} as const;

const KIND_LAST = Kind.ACK;

/** Writes the prefix of a frame at `offset`. */
export function putPrefix(
  view: DataView,
  offset: number,
  kind: number,
  headerBytes: number,
  payloadBytes: number,
): void {
  view.setUint32(offset, payloadBytes, true);
  view.setUint32(offset + 4, (headerBytes | (kind << 24)) >>> 0, true);
}

/** Payload length of the prefix at `offset`, checked. */
export function payloadBytes(view: DataView, offset: number): number {
  const length = view.getUint32(offset, true);
  if (length > PAYLOAD_MAX) throw new ProtocolError(`payload of ${length} exceeds ${PAYLOAD_MAX}`);
  return length;
}

/** Header length of the prefix at `offset`, checked. */
export function headerBytes(view: DataView, offset: number): number {
  const length = view.getUint32(offset + 4, true) & 0xff_ffff;
  if (length > HEADER_MAX) throw new ProtocolError(`header of ${length} exceeds ${HEADER_MAX}`);
  return length;
}

/** Kind of the prefix at `offset`, checked. */
export function kindOf(view: DataView, offset: number): number {
  const kind = view.getUint8(offset + 7);
  if (kind > KIND_LAST) throw new ProtocolError(`frame of unknown kind ${kind}`);
  return kind;
}
