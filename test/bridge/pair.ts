/** Two ends of a connection with streams in one loop, and descriptors to put at its ends. */
import { Loop } from "../../src/bridge/loop.ts";
import type { Stream, StreamHandler } from "../../src/session/stream.ts";
import { type Accept, Streams } from "../../src/session/streams.ts";
import { EPOLLIN, EPOLLOUT } from "../../src/sys/epoll.ts";
import { E } from "../../src/sys/errno.ts";
import { pipe2, read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { O_CLOEXEC, O_NONBLOCK } from "../../src/sys/open.ts";
import { recv, SOCK_STREAM, send, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { ok, okPair } from "../sys/support.ts";

/** One end: a transport in the loop, with its streams. */
export class End {
  readonly streams: Streams;
  readonly #transport: SocketTransport;
  readonly #loop: Loop;
  readonly #unhook: () => void;

  constructor(loop: Loop, fd: number, side: "client" | "server", accept: Accept) {
    this.#loop = loop;
    this.#transport = new SocketTransport(fd, { description: side });
    this.streams = new Streams(this.#transport, side, accept);
    loop.add(fd, EPOLLIN, this);
    this.#unhook = loop.beforeSleep(() => this.#flush());
  }

  onEvents(): void {
    this.#transport.receive();
    this.#serve();
    if (this.#transport.closed) this.close(E.ECONNRESET);
  }

  #serve(): void {
    const transport = this.#transport;
    while (!transport.congested && transport.next()) {
      if (transport.kind !== Kind.STREAM) throw new Error("not a stream's frame");
      this.streams.receive();
    }
  }

  #flush(): boolean {
    const transport = this.#transport;
    this.#serve();
    this.streams.flush();
    transport.flush();
    if (transport.closed) {
      this.close(E.ECONNRESET);
      return true;
    }
    this.#loop.modify(transport.fd, EPOLLIN | (transport.pending ? EPOLLOUT : 0));
    return false;
  }

  /** The connection is lost. */
  close(errno: number): void {
    if (!this.#transport.closed) this.#loop.remove(this.#transport.fd);
    this.#transport.close();
    this.#unhook();
    this.streams.close(errno);
  }

  release(): void {
    this.close(E.ECONNRESET);
    this.#transport.release();
  }
}

/** What both ends of a stream are to be given. */
export interface Pump extends StreamHandler {
  start(stream: Stream): void;
}

export class BridgePair {
  readonly loop = new Loop();
  readonly client: End;
  readonly server: End;
  /** Called for each stream that the other end opens. */
  accept: Accept = () => E.EOPNOTSUPP;

  constructor(bufferBytes = 64 * 1024) {
    const fds = okPair(socketPair(SOCK_STREAM));
    for (const fd of fds) ok(setBuffers(fd, bufferBytes));
    const accept: Accept = (...all) => this.accept(...all);
    this.client = new End(this.loop, fds[0], "client", accept);
    this.server = new End(this.loop, fds[1], "server", accept);
  }

  /** Turns the loop until `done`, or for so long that it never will be. */
  until(done: () => boolean, forMs = 20_000): void {
    const end = this.loop.nowMs + forMs;
    while (!done()) {
      if (this.loop.nowMs > end) throw new Error("It did not come to pass");
      this.loop.turn(5);
    }
  }

  /** Turns it until nothing has happened for a while. */
  settle(): void {
    for (let still = 0; still < 3; ) still = this.loop.turn(2) ? 0 : still + 1;
  }

  /** Opens a stream from the client with `here`, which the server handles with `there`. */
  join(here: Pump, there: Pump): void {
    this.accept = (stream) => {
      there.start(stream);
      return there;
    };
    const stream = this.client.streams.open(1, new Uint8Array(0), here);
    if (stream === undefined) throw new Error("no stream");
    here.start(stream);
    this.settle();
  }

  close(): void {
    this.client.release();
    this.server.release();
    this.loop.close();
  }
}

/** A socketpair, or a pipe, of the test's. */
export const sockets = (type = SOCK_STREAM) => okPair(socketPair(type));
export const pipe = () => okPair(pipe2(O_CLOEXEC | O_NONBLOCK));

const room = allocate(1 << 20);

/** What a program does with its end: the bytes, or -errno (0: the end). */
export function get(fd: number, max = 1 << 20): Buffer | number {
  let n = recv(fd, room.address, max);
  if (n === -E.ENOTSOCK) n = read(fd, room.address, max);
  return n > 0 ? Buffer.from(room.bytes.subarray(0, n)) : n;
}

export function put(fd: number, bytes: Uint8Array, flags = 0): number {
  room.bytes.set(bytes);
  const n = send(fd, room.address, bytes.length, flags);
  return n === -E.ENOTSOCK ? write(fd, room.address, bytes.length) : n;
}

/** Bytes that tell their place. */
export function pattern(length: number, salt = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + salt) & 0xff));
}
