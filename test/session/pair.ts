/** Two ends of a connection with streams over it, in one thread: `turn` moves bytes both ways. */

import type { Stream, StreamHandler } from "../../src/session/stream.ts";
import { type Accept, Streams } from "../../src/session/streams.ts";
import { SOCK_STREAM, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";

export interface End {
  transport: SocketTransport;
  streams: Streams;
}

/** What happened to a stream, and every byte and message that came. */
export class Recorder implements StreamHandler {
  readonly chunks: Buffer[] = [];
  /** Data lengths, messages and ends in the order of their coming. */
  readonly log: string[] = [];
  eof = false;
  closed = false;
  resetWith: number | undefined;
  /** Whether credit is given back at once. */
  readonly eager: boolean;
  /** Called when the stream can send again. */
  writable: (stream: Stream) => void = () => {};

  constructor(eager = true) {
    this.eager = eager;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  onData(stream: Stream, bytes: Uint8Array): void {
    this.chunks.push(Buffer.from(bytes));
    this.log.push(`data ${bytes.length}`);
    if (this.eager) stream.consumed(bytes.length);
  }

  onEof(): void {
    this.eof = true;
    this.log.push("eof");
  }

  onReset(_: Stream, errno: number): void {
    this.resetWith = errno;
    this.log.push(`reset ${errno}`);
  }

  onOutOfBand(stream: Stream, type: number, bytes: Uint8Array): void {
    this.log.push(`message ${type} ${Buffer.from(bytes)}`);
    if (this.eager) stream.consumed(0, 1);
  }

  onWritable(stream: Stream): void {
    this.writable(stream);
  }

  onClosed(): void {
    this.closed = true;
    this.log.push("closed");
  }
}

export class Pair {
  readonly client: End;
  readonly server: End;
  /** Streams that the server was asked to accept. */
  readonly accepted: { stream: Stream; kind: number; description: string; handler: Recorder }[] =
    [];

  constructor(accept?: Accept, bufferBytes = 1) {
    const fds = socketPair(SOCK_STREAM);
    if (typeof fds === "number") throw new Error(`socketpair: errno ${-fds}`);
    for (const fd of fds) setBuffers(fd, bufferBytes);
    const record: Accept = (stream, kind, description) => {
      const handler = new Recorder();
      this.accepted.push({ stream, kind, description: String(Buffer.from(description)), handler });
      return handler;
    };
    this.client = this.#end(fds[0], "client", () => new Recorder());
    this.server = this.#end(fds[1], "server", accept ?? record);
  }

  #end(fd: number, side: "client" | "server", accept: Accept): End {
    const transport = new SocketTransport(fd, { description: side });
    return { transport, streams: new Streams(transport, side, accept) };
  }

  /** Serves what has arrived at `end`, at most `limit` bytes of it; whether anything moved. */
  serve(end: End, limit = 1 << 20): boolean {
    const { transport, streams } = end;
    const sentBefore = transport.bytesSent;
    transport.flush();
    const got = transport.receive(limit);
    while (!transport.congested && transport.next()) {
      if (transport.kind !== Kind.STREAM) throw new Error("not a stream's frame");
      streams.receive();
    }
    if (!transport.congested) streams.flush();
    transport.flush();
    return got > 0 || transport.bytesSent !== sentBefore;
  }

  /** Moves bytes until nothing moves any more. */
  settle(limit?: () => number): void {
    for (let still = 0; still < 3; ) {
      const moved = [this.client, this.server].map((end) => this.serve(end, limit?.()));
      still = moved.includes(true) ? 0 : still + 1;
    }
  }

  close(): void {
    for (const { transport } of [this.client, this.server]) {
      transport.close();
      transport.release();
    }
  }
}
