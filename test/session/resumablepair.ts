/**
 * Two ends of resumable streams in one thread, joined by a wire that the test moves
 * bytes over, and can cut after any of them.
 */
import { Resumable } from "../../src/session/resumable.ts";
import { type Accept, Streams } from "../../src/session/streams.ts";
import { allocate, type Region } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { recv, SOCK_STREAM, send, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { CLOSED } from "../../src/transport/transport.ts";
import { Kind } from "../../src/wire/frame.ts";
import { STREAM_CHUNK_MAX } from "../../src/wire/limits.ts";
import { Recorder } from "./pair.ts";

export interface ResumableEnd {
  readonly resumable: Resumable;
  readonly streams: Streams;
}

const ROOM = 64 * 1024;
const room: Region = allocate(ROOM);

/** One direction of the wire: what was read of it and not written yet. */
class Way {
  readonly from: number;
  readonly to: number;
  #held = Buffer.alloc(0);

  constructor(from: number, to: number) {
    this.from = from;
    this.to = to;
  }

  /** Moves at most `max` bytes on: how many. */
  move(max: number): number {
    if (this.#held.length === 0) {
      const got = recv(this.from, room.address, ROOM);
      if (got <= 0) return 0;
      this.#held = Buffer.from(room.bytes.subarray(0, got));
    }
    const part = Math.min(max, this.#held.length);
    if (part === 0) return 0;
    room.bytes.set(this.#held.subarray(0, part));
    const sent = send(this.to, room.address, part, 0);
    if (sent <= 0) return 0;
    this.#held = this.#held.subarray(sent);
    return sent;
  }
}

export class ResumablePair {
  readonly client: ResumableEnd;
  readonly server: ResumableEnd;
  readonly accepted: Recorder[] = [];
  #ways: Way[] = [];
  /** What both take in a spliced frame from the next `join` on. */
  splicedMax = STREAM_CHUNK_MAX;
  /** Bytes that the wire has moved since it was last cut. */
  moved = 0;

  constructor(ringBytes?: number, accept?: Accept) {
    const record: Accept = () => {
      const recorder = new Recorder();
      this.accepted.push(recorder);
      return recorder;
    };
    this.client = end("client", () => 0, ringBytes);
    this.server = end("server", accept ?? record, ringBytes);
  }

  /** Joins both ends anew, as their handshake does. */
  join(bufferBytes = 1 << 20): void {
    const [near, farOfNear] = pairOf(bufferBytes);
    const [far, farOfFar] = pairOf(bufferBytes);
    this.#ways = [new Way(farOfNear, farOfFar), new Way(farOfFar, farOfNear)];
    const { client, server } = this;
    const [taken, takenThere] = [client.resumable.taken, server.resumable.taken];
    client.resumable.attach(
      new SocketTransport(near, { description: "server" }),
      takenThere,
      this.splicedMax,
    );
    server.resumable.attach(
      new SocketTransport(far, { description: "client" }),
      taken,
      this.splicedMax,
    );
    this.moved = 0;
  }

  get joined(): boolean {
    return this.#ways.length > 0;
  }

  /** Breaks the connection: what is on the wire is lost. */
  cut(): void {
    for (const { from } of this.#ways) close(from);
    this.#ways = [];
    for (const one of [this.client, this.server]) this.serve(one);
    for (const { resumable } of [this.client, this.server]) resumable.detach();
  }

  /** Takes in what has arrived at `one`, and sends. */
  serve({ resumable, streams }: ResumableEnd): void {
    resumable.flush();
    while (true) {
      const got = resumable.receive();
      while (resumable.next()) {
        if (resumable.kind !== Kind.STREAM) throw new Error(`frame of kind ${resumable.kind}`);
        streams.receive();
      }
      if (got === CLOSED || got === 0) break;
    }
    streams.flush();
    resumable.flush();
  }

  /** Lets the wire move at most `max` bytes, of either direction as `first` says: how many. */
  move(max: number, first = 0): number {
    const ways = first === 0 ? this.#ways : [...this.#ways].reverse();
    let moved = 0;
    for (const way of ways) moved += way.move(max - moved);
    this.moved += moved;
    return moved;
  }

  /** Moves and serves until nothing moves any more. */
  settle(): void {
    for (let still = 0; still < 3; ) {
      for (const one of [this.client, this.server]) this.serve(one);
      still = this.move(ROOM) > 0 ? 0 : still + 1;
    }
  }

  close(): void {
    if (this.joined) this.cut();
    for (const { resumable } of [this.client, this.server]) resumable.close();
  }
}

function end(side: "client" | "server", accept: Accept, ringBytes?: number): ResumableEnd {
  const resumable = new Resumable(ringBytes);
  return { resumable, streams: new Streams(resumable, side, accept) };
}

function pairOf(bufferBytes: number): [number, number] {
  const fds = socketPair(SOCK_STREAM);
  if (typeof fds === "number") throw new Error(`socketpair: errno ${-fds}`);
  for (const fd of fds) setBuffers(fd, bufferBytes);
  return fds;
}
