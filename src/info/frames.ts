/**
 * Frames on a control socket: the prefix of the wire (wire/frame.ts), CBOR in
 * the header of a request and in the payload of an answer.
 */
import { decode } from "cbor-x/decode";
import { encode } from "cbor-x/encode";
import { ProtocolError } from "../wire/error.ts";
import { headerBytes, Kind, kindOf, payloadBytes, putPrefix } from "../wire/frame.ts";
import { PAYLOAD_MAX, PREFIX_BYTES } from "../wire/limits.ts";

/** Bytes of a request's CBOR at most; the longest names a program. */
export const REQUEST_MAX = 8192;

/** What a process asks of a daemon. */
export interface Request {
  want: "snapshot" | "log" | "logLevel" | "handOver" | "signal";
  /** With logLevel: the level to set; without it the answer only tells the level. */
  level?: string;
  /** With handOver: what starts the process that takes over, and how its records are laid out. */
  program?: string[];
  layout?: number;
  /** With signal, of a rexec-server's keeper: the program and the signal's number. */
  pid?: number;
  signal?: number;
}

/** `value` as a frame: a request's header or an answer's payload. */
export function encodeFrame(kind: typeof Kind.REQUEST | typeof Kind.REPLY, value: object): Buffer {
  const body = encode(value);
  if (kind === Kind.REPLY && body.length > PAYLOAD_MAX) {
    throw new ProtocolError(`an answer of ${body.length} bytes exceeds ${PAYLOAD_MAX}`);
  }
  const frame = Buffer.alloc(PREFIX_BYTES + body.length);
  const view = new DataView(frame.buffer, frame.byteOffset);
  const isRequest = kind === Kind.REQUEST;
  putPrefix(view, 0, kind, isRequest ? body.length : 0, isRequest ? 0 : body.length);
  frame.set(body, PREFIX_BYTES);
  return frame;
}

/** Puts received pieces together; what is not a frame of `kind` throws ProtocolError. */
export class FrameReader {
  readonly #kind: number;
  #received = Buffer.alloc(0);

  constructor(kind: typeof Kind.REQUEST | typeof Kind.REPLY) {
    this.#kind = kind;
  }

  /** Takes bytes; returns the values of all frames that are complete. */
  add(bytes: Uint8Array): unknown[] {
    this.#received = Buffer.concat([this.#received, bytes]);
    const values: unknown[] = [];
    while (this.#received.length >= PREFIX_BYTES) {
      const end = PREFIX_BYTES + this.#bodyBytes();
      if (this.#received.length < end) break;
      values.push(decodeMap(this.#received.subarray(PREFIX_BYTES, end)));
      this.#received = this.#received.subarray(end);
    }
    return values;
  }

  #bodyBytes(): number {
    const view = new DataView(this.#received.buffer, this.#received.byteOffset);
    if (kindOf(view, 0) !== this.#kind) throw new ProtocolError("frame of another kind");
    const [header, payload] = [headerBytes(view, 0), payloadBytes(view, 0)];
    const isRequest = this.#kind === Kind.REQUEST;
    if ((isRequest ? payload : header) !== 0 || (isRequest && header > REQUEST_MAX)) {
      throw new ProtocolError("frame of another shape");
    }
    return header + payload;
  }
}

function decodeMap(bytes: Uint8Array): unknown {
  let value: unknown;
  try {
    value = decode(bytes);
  } catch {
    throw new ProtocolError("not CBOR");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("not a map");
  }
  return value;
}
