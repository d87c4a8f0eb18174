/**
 * A Client between a kernel and a server that are both the test: packet sockets
 * stand in for /dev/fuse, stream sockets for the connection. Nothing runs by
 * itself, each step is a call.
 */
import { decode } from "cbor-x/decode";
import { type CacheMode, Client } from "../../src/client/client.ts";
import { answers, forward } from "../../src/client/dispatch.ts";
import type { ClientRecord } from "../../src/client/record.ts";
import { FuseDevice } from "../../src/fuse/device.ts";
import { Counters } from "../../src/info/counters.ts";
import { read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { SOCK_SEQPACKET, SOCK_STREAM, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { type Argument, put } from "../support/client.ts";
import { ok, okPair } from "../sys/support.ts";
import { type Asker, requestBytes } from "./requests.ts";

const KERNEL_BUFFER_BYTES = 4 * 1024 * 1024;
const room = allocate(2 * 1024 * 1024);

/** A frame that the server got, its header decoded by cbor-x. */
export interface Frame {
  kind: number;
  items: number[];
  payload: Buffer;
}

/** An answer or notification that the kernel got. */
export interface Told {
  error: number;
  unique: number;
  body: Buffer;
}

export class Rig {
  readonly client: Client;
  readonly server: SocketTransport;
  readonly kernel: number;
  #unique = 0;

  /**
   * `bufferBytes`: of each side of the connection; the kernel's default where absent.
   * `record`: what another client has left.
   */
  constructor(slots = 8, bufferBytes?: number, record?: ClientRecord, cache: CacheMode = "auto") {
    const [kernel, device] = okPair(socketPair(SOCK_SEQPACKET));
    for (const end of [kernel, device]) ok(setBuffers(end, KERNEL_BUFFER_BYTES));
    const [ours, theirs] = okPair(socketPair(SOCK_STREAM));
    if (bufferBytes !== undefined) {
      for (const end of [ours, theirs]) ok(setBuffers(end, bufferBytes));
    }
    this.kernel = kernel;
    this.server = new SocketTransport(theirs, { description: "the client under test" });
    this.client = new Client(
      new FuseDevice(device),
      new SocketTransport(ours, { description: "the test" }),
      slots,
      cache,
      { ordinarySeconds: 1, watchedSeconds: 1 },
      new Counters(),
      record,
    );
  }

  /** The kernel asks; returns the request's number. */
  ask(opcode: number, body: Uint8Array = Buffer.alloc(0), from: Asker = {}): number {
    const unique = from.unique ?? ++this.#unique;
    const bytes = requestBytes(opcode, body, { ...from, unique });
    room.bytes.set(bytes);
    const wrote = write(this.kernel, room.address, bytes.length);
    if (wrote !== bytes.length) throw new Error("The kernel is full");
    return unique;
  }

  /** The client takes the next request and forwards it, or answers it. */
  forward(): void {
    const { client } = this;
    if (client.fuse.next() <= 0) throw new Error("The kernel has asked nothing");
    const errno = forward(client);
    if (errno !== 0) client.answerNow(errno);
    client.transport.flush();
  }

  /** Both of the above. */
  request(opcode: number, body?: Uint8Array, from?: Asker): number {
    const unique = this.ask(opcode, body, from);
    this.forward();
    return unique;
  }

  /** The frames that the server has got since. */
  received(): Frame[] {
    const frames: Frame[] = [];
    const { server } = this;
    do {
      this.client.transport.flush();
      while (server.next()) {
        const { reader, payloadStart, payloadLength, kind } = server;
        const items = decode(Buffer.from(reader.bytes.subarray(reader.at, reader.end)));
        const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
        frames.push({ kind, items, payload: Buffer.from(payload) });
      }
    } while (server.receive() > 0);
    return frames;
  }

  /** The server answers a request of which it got the frame. */
  reply(request: Frame, errno: number, results: Argument[] = [], payload?: Uint8Array): void {
    const [slot = 0, sequence = 0] = request.items;
    const w = this.server.begin(Kind.REPLY);
    w.array(3 + results.length);
    for (const item of [slot, sequence, errno, ...results]) put(w, item);
    if (payload === undefined) this.server.end();
    else this.server.endCopy(payload, payload.length);
    this.server.flush();
  }

  /** The client takes the server's successful answers and gives them to the kernel. */
  settle(): void {
    const { client } = this;
    client.transport.receive();
    while (client.transport.next()) {
      const { reader } = client.transport;
      reader.array();
      const slot = reader.uint();
      if (!client.pending.expects(slot, reader.uint()) || reader.uint() !== 0) {
        throw new Error("The answer is not one to settle");
      }
      answers[client.pending.opcode[slot] as number]?.(client, slot);
      client.finish(slot);
    }
  }

  /** What the kernel has been told next; undefined where nothing. */
  told(): Told | undefined {
    const got = read(this.kernel, room.address, room.size);
    if (got < 0) return undefined;
    const { view } = room;
    if (view.getUint32(0, true) !== got) throw new Error("The message's length is wrong");
    const unique = Number(view.getBigUint64(8, true));
    const body = Buffer.from(room.bytes.subarray(16, got));
    return { error: view.getInt32(4, true), unique, body };
  }

  close(): void {
    this.client.transport.close();
    this.server.close();
    close(this.kernel);
    close(this.client.fuse.fd);
  }
}
