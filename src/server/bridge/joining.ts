/** Joins a socket of the HOST's to a stream, once there is one, with what has come for it meanwhile. */
import type { Ancillary } from "../../bridge/ancillary.ts";
import type { Loop } from "../../bridge/loop.ts";
import { BytePump, Shape } from "../../bridge/pumpbytes.ts";
import { MessagePump } from "../../bridge/pumpmessages.ts";
import type { Stream, StreamHandler } from "../../session/stream.ts";
import { allocate } from "../../sys/memory.ts";
import { STREAM_CHUNK_MAX } from "../../wire/limits.ts";
import { SocketType } from "../../wire/streams.ts";

/** Who serves a stream from now on, and is to be started with it. */
export interface Pump extends StreamHandler {
  start(stream: Stream): void;
}

/** A pump for the socket `fd` of `type` (SOCK_*), which it owns; `ancillary` carries descriptors. */
export function pumpFor(loop: Loop, fd: number, type: number, ancillary: Ancillary): Pump {
  if (type !== SocketType.STREAM) return new MessagePump({ loop, fd, type, ancillary });
  return new BytePump({ loop, fd, shape: Shape.SOCKET, ancillary });
}

/** What came on a stream: data, a message beside it, or its end. */
type Held = { type: number | undefined; bytes: Uint8Array } | "eof";

const room = allocate(STREAM_CHUNK_MAX);

/** Keeps what comes on a stream, within its credit, until its pump is there. */
export class Holding implements StreamHandler {
  readonly #given: () => void;
  #held: Held[] = [];

  /** `given`: called when the peer gives the stream up, or it is lost. */
  constructor(given: () => void) {
    this.#given = given;
  }

  onData(_: Stream, bytes: Uint8Array): void {
    this.#held.push({ type: undefined, bytes: Uint8Array.from(bytes) });
  }

  onOutOfBand(_: Stream, type: number, bytes: Uint8Array): void {
    this.#held.push({ type, bytes: Uint8Array.from(bytes) });
  }

  onEof(): void {
    this.#held.push("eof");
  }

  onReset(): void {
    this.#held = [];
    this.#given();
  }

  onWritable(): void {
    // Nothing was sent.
  }

  onClosed(): void {
    // Either end is still open, or has been reset.
  }

  /** Hands `stream` over to `pump`, with all that was kept. */
  handOver(stream: Stream, pump: Pump): void {
    stream.handler = pump;
    pump.start(stream);
    for (const held of this.#held) {
      if (stream.handler !== pump) break;
      if (held === "eof") pump.onEof(stream);
      else if (held.type !== undefined) pump.onOutOfBand(stream, held.type, held.bytes);
      else {
        room.bytes.set(held.bytes);
        pump.onData(stream, room.bytes.subarray(0, held.bytes.length), room.address);
      }
    }
    this.#held = [];
  }
}
