/**
 * What a session needs of a connection. A transport carries whole frames both
 * ways, never blocks, and copies bulk data at most once.
 *
 * Sending: `begin` a frame, write its CBOR header with the returned Writer, and
 * `end` it in one of four ways. Frames without bulk data gather until `flush`;
 * while `congested` is true no frame may be begun.
 *
 * Receiving: `receive` takes what has arrived, `next` steps to each complete
 * frame and sets `kind`, `reader` (on the header) and the payload's place. They
 * stay valid until the following `receive`.
 *
 * A closed transport is never congested and takes frames still, which go nowhere:
 * who answers a request need not know whether its connection has ended meanwhile.
 */
import type { Reader } from "../wire/reader.ts";
import type { Writer } from "../wire/writer.ts";

/** Who is at the other end, as far as the transport can prove it. */
export interface PeerIdentity {
  /** For people: "uid 0, pid 17" or "127.0.0.1:4711". */
  description: string;
  /** User id of a unix socket's peer; undefined where the transport cannot tell. */
  uid?: number;
  /** The name in its certificate, where it has shown one that holds (identity/names.ts). */
  name?: string;
}

/** Results of `receive` other than a count of bytes. */
export const WOULD_BLOCK = 0;
export const CLOSED = -1;

/** The part of a transport that makes and shows frames: all that streams need (session/streams.ts). */
export interface Frames {
  readonly kind: number;
  readonly reader: Reader;
  /** Offset of the payload in `reader.bytes`, and its address and length. */
  readonly payloadStart: number;
  readonly payloadAddress: number;
  readonly payloadLength: number;

  /** The payload, where it may lie elsewhere than in `reader.bytes`; so may `payloadAddress`. */
  readonly payloadBytes?: Uint8Array;
  /** A pipe that holds the payload until one of these two is asked for, or -1. */
  readonly payloadPipe?: number;
  /** Whether large payloads are wanted in a pipe from the next frame on. */
  wantsPipe?: boolean;

  /** Starts a frame; needs `congested` to be false. */
  begin(kind: number): Writer;
  /** Ends a frame that has no payload. */
  end(): void;
  /** Address of room for an inline payload after the header written so far. */
  payloadRoom(): number;
  /** Ends a frame whose payload of `length` bytes was put at `payloadRoom`. */
  endInline(length: number): void;
  /** Ends a frame with a copy of `source[0..length)` as payload. */
  endCopy(source: Uint8Array, length: number): void;
  /** Drops the frame begun last. */
  abandon(): void;
  /** How much may end the frame begun next by `endFromPipe`; 0: it cannot be ended so. */
  readonly pipeMax?: number;
  /**
   * Ends a frame with what pipe `fd` holds, at most `max` bytes, as payload, and sends it:
   * how many; 0 at its end or -errno, and the frame is not ended.
   */
  endFromPipe?(fd: number, max: number): number;
  readonly congested: boolean;
}

export interface Transport extends Frames {
  /** Descriptor to poll, readable when `receive` has something. */
  readonly fd: number;
  readonly peer: PeerIdentity;
  /** Whether others may take the payload of a peeked frame from `fd` by splice(2). */
  readonly splices: boolean;

  /** Takes at most `limit` more bytes: how many, WOULD_BLOCK or CLOSED. */
  receive(limit?: number): number;
  /** Whether bytes have arrived that `next` has not stepped over. */
  readonly hasMore: boolean;
  /** Steps to the next complete frame; false when more bytes are needed. */
  next(): boolean;
  /**
   * Looks at a frame whose header has arrived and whose payload has not: sets
   * `kind`, `reader` and the payload's place and returns how many bytes of the
   * payload are here, or -1 where there is no such frame. The frame stays.
   */
  peek(): number;
  /** Drops a frame seen by `peek`; the rest of its payload is taken from `fd` by others. */
  dropPeeked(): void;

  /** Ends a frame with a payload elsewhere, which must stay until not congested. */
  endWith(address: number, length: number): void;
  /** Ends a frame with `length` bytes of the file `fd` from `offset` as payload. */
  endWithFile(fd: number, offset: number, length: number): void;
  /** Sends what has gathered; false when the peer must read first, or is gone. */
  flush(): boolean;
  /** Whether anything is left to send. */
  readonly pending: boolean;

  /** Why the connection could not be had, or ended, where that is known; for people. */
  readonly failure: string | undefined;
  /** Ends the connection: `receive` says CLOSED from then on, what was not sent is dropped. */
  close(): void;
  readonly closed: boolean;

  /** Bytes of those sent that the peer's machine has not taken yet; not for hot paths. */
  readonly bytesUntaken: number;
  bytesReceived: number;
  bytesSent: number;
}
