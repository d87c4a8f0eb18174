/**
 * A mount's reactor whose kernel and whose server are both the test, over as many
 * connections as the test allows. The first needs no handshake.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { decode } from "cbor-x/decode";
import { read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import {
  accept,
  listenUnix,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  setBuffers,
  socketPair,
} from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import {
  type ClientHello,
  decodeClientHello,
  encodeHello,
  type ServerHello,
} from "../../src/wire/hello.ts";
import { VERSION_MAX } from "../../src/wire/limits.ts";
import { Op } from "../../src/wire/ops.ts";
import { type Argument, helloOf, plain, put } from "../support/client.ts";
import { ok, okPair } from "../sys/support.ts";
import { type Asker, requestBytes } from "./requests.ts";
import type { Frame, Told } from "./rig.ts";

const BUFFER_BYTES = 4 * 1024 * 1024;
const ANSWER_MS = 10_000;
const END_MS = 5000;
export const SESSION = "0123456789abcdef0123456789abcdef";
export const SLOTS = 64;
const room = allocate(2 * 1024 * 1024);

export interface LinkedOptions {
  /** Bound on the server's silence; 0 for none. */
  timeoutMs?: number;
}

export class Linked {
  /** The present connection, if the test has one. */
  server: SocketTransport;
  readonly #kernel: number;
  readonly #listener: number;
  readonly #directory = mkdtempSync(`${tmpdir()}/qtfs-linked-`);
  readonly #child: Bun.Subprocess;
  #unique = 0;

  constructor({ timeoutMs = 0 }: LinkedOptions = {}) {
    const [kernel, device] = okPair(socketPair(SOCK_SEQPACKET));
    const [theirs, connection] = okPair(socketPair(SOCK_STREAM));
    for (const fd of [kernel, device, theirs, connection]) ok(setBuffers(fd, BUFFER_BYTES));
    const path = `${this.#directory}/server.sock`;
    this.#listener = ok(listenUnix(path, 0o600, 16));
    this.#kernel = kernel;
    this.server = new SocketTransport(theirs, { description: "the client" });
    const options = { address: `unix://${path}`, timeoutMs, slots: SLOTS, session: SESSION };
    const program = new URL("./linkedchild.ts", import.meta.url).pathname;
    this.#child = Bun.spawn([process.execPath, program, JSON.stringify(options)], {
      stdio: ["ignore", Bun.file(`${this.#directory}/said`), "inherit", device, connection],
    });
    close(device);
    close(connection);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** The kernel asks; returns the request's number. */
  ask(opcode: number, body: Uint8Array = Buffer.alloc(0), from: Asker = {}): number {
    const unique = from.unique ?? ++this.#unique;
    const bytes = requestBytes(opcode, body, { ...from, unique });
    room.bytes.set(bytes);
    ok(write(this.#kernel, room.address, bytes.length));
    return unique;
  }

  /** The next `count` frames that the server gets; PING is answered and not counted. */
  frames(count: number): Frame[] {
    const frames: Frame[] = [];
    while (frames.length < count) {
      if (this.server.next()) {
        const frame = this.#frame();
        if (frame.kind === Kind.REQUEST && frame.items[2] === Op.PING) this.reply(frame, 0);
        else frames.push(frame);
        continue;
      }
      const what = `${count} frames: ${JSON.stringify(frames.map(({ items }) => items))}`;
      waitFor(this.server.fd, what);
      if (this.server.receive() <= 0 && this.server.closed) throw new Error(`It hung up: ${what}`);
    }
    return frames;
  }

  #frame(): Frame {
    const { reader, payloadStart, payloadLength, kind } = this.server;
    const items = plain(decode(Buffer.from(reader.bytes.subarray(reader.at, reader.end))));
    const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
    return { kind, items: items as number[], payload: Buffer.from(payload) };
  }

  /** Whether the client says nothing for `ms` and hangs up not either. */
  silent(ms: number): boolean {
    return !this.server.hasMore && !readable(this.server.fd, ms);
  }

  /** The server answers a request of which it got the frame. */
  reply(request: Frame, errno: number, results: Argument[] = [], payload?: Uint8Array): void {
    const [slot = 0, sequence = 0] = request.items;
    this.say(Kind.REPLY, [slot, sequence, errno, ...results], payload);
  }

  /** The server says a frame. */
  say(kind: number, items: readonly Argument[], payload?: Uint8Array): void {
    const w = this.server.begin(kind);
    w.array(items.length);
    for (const item of items) put(w, item);
    if (payload === undefined) this.server.end();
    else this.server.endCopy(payload, payload.length);
    this.server.flush();
  }

  /** What the kernel is told next. */
  told(): Told {
    waitFor(this.#kernel, "an answer to the kernel");
    const got = ok(read(this.#kernel, room.address, room.size));
    const { view } = room;
    const body = Buffer.from(room.bytes.subarray(16, got));
    return { error: view.getInt32(4, true), unique: Number(view.getBigUint64(8, true)), body };
  }

  /** Whether the kernel is told nothing for `ms`. */
  tellsNothing(ms: number): boolean {
    return !readable(this.#kernel, ms);
  }

  /** The connection ends; those that come wait to be accepted. */
  cut(): void {
    this.server.close();
    this.server.release();
  }

  /** Accepts the next connection and reads what it says; it is the present one from now on. */
  accept(): ClientHello {
    waitFor(this.#listener, "another connection");
    const fd = ok(accept(this.#listener));
    ok(setBuffers(fd, BUFFER_BYTES));
    this.server = new SocketTransport(fd, { description: "the client" });
    while (!this.server.next()) {
      waitFor(fd, "HELLO");
      if (this.server.receive() <= 0 && this.server.closed) throw new Error("It said no HELLO");
    }
    const { reader } = this.server;
    return decodeClientHello(reader.bytes.subarray(reader.at, reader.end));
  }

  /** Greets the connection that was accepted. */
  greet(changes: Partial<ServerHello> = {}): void {
    const { facts } = helloOf();
    const standing = { slots: SLOTS, leaseMs: 60_000, resumed: true, oneways: 0, lives: 1 };
    const hello = { version: VERSION_MAX, capabilities: [], facts, ...standing, ...changes };
    const bytes = encodeHello(hello);
    const w = this.server.begin(Kind.HELLO);
    w.bytes.set(bytes, w.at);
    w.at += bytes.length;
    this.server.end();
    this.server.flush();
  }

  /** Both of the above. */
  resume(changes: Partial<ServerHello> = {}): ClientHello {
    const hello = this.accept();
    this.greet(changes);
    return hello;
  }

  /** What it has logged and told so far. */
  said(): Record<string, unknown>[] {
    const lines = readFileSync(`${this.#directory}/said`, "utf8").split("\n");
    return lines.slice(0, -1).map((line) => JSON.parse(line));
  }

  /** Unmounts; throws unless the reactor ends in good order. */
  async end(): Promise<void> {
    close(this.#kernel);
    const exited = await Promise.race([this.#child.exited, Bun.sleep(END_MS)]);
    this.#child.kill("SIGKILL");
    const last = this.said().at(-1);
    if (!this.server.closed) this.cut();
    close(this.#listener);
    rmSync(this.#directory, { recursive: true });
    if (exited !== 0 || last?.kind !== "done" || last.refused !== 0) {
      throw new Error(`The reactor ended with ${exited}: ${JSON.stringify(last)}`);
    }
  }
}

function readable(fd: number, ms: number): boolean {
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  return polls.wait(ms) > 0;
}

function waitFor(fd: number, what: string): void {
  if (!readable(fd, ANSWER_MS)) throw new Error(`It never came: ${what}`);
}
