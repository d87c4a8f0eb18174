/**
 * A client that is nothing but frames: it says HELLO, sends requests whose
 * header is written here item by item, and decodes answers with cbor-x, so that
 * the server's encoder is read by code that is not its own.
 */
import { decode } from "cbor-x/decode";
import { sayGoodbye } from "../../src/client/goodbye.ts";
import { POLLIN, POLLOUT, PollSet } from "../../src/sys/poll.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { connectTo } from "../../src/transport/endpoint.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { type ClientHello, encodeHello, MAGIC } from "../../src/wire/hello.ts";
import { SLOTS_MAX, VERSION_MAX, VERSION_MIN } from "../../src/wire/limits.ts";
import { Event, Op, type OpName } from "../../src/wire/ops.ts";
import type { Writer } from "../../src/wire/writer.ts";

/** An argument: a number is a CBOR integer, a bigint one of 64 bits, text and bytes a byte string. */
export type Argument = number | bigint | string | Uint8Array;

export interface Reply {
  slot: number;
  sequence: number;
  errno: number;
  /** As cbor-x gives them: numbers, bigints beyond 2^53, bytes. */
  results: unknown[];
  payload: Buffer;
}

const ANSWER_TIMEOUT_MS = 20_000;

/** The HELLO of a test client, with `changes` made to it. */
export function helloOf(changes: Partial<ClientHello> = {}): ClientHello {
  return {
    versions: [VERSION_MIN, VERSION_MAX],
    role: "mount",
    capabilities: ["files", "locks"],
    session: crypto.randomUUID().replaceAll("-", ""),
    resumes: false,
    epoch: 0,
    events: 0,
    facts: { build: "test", arch: "x64", kernel: "6", bootId: "b", pageSize: 4096, pid: 1 },
    ...changes,
  };
}

/** Writes one argument of a request. */
export function put(w: Writer, argument: Argument): void {
  if (typeof argument === "number") w.int(argument);
  else if (typeof argument === "bigint") {
    w.uint64(Number(argument >> 32n), Number(argument & 0xffff_ffffn));
  } else {
    const bytes = typeof argument === "string" ? Buffer.from(argument) : argument;
    w.blob(bytes, 0, bytes.length);
  }
}

/** cbor-x gives every integer of 64 bits as a bigint: those that a number holds become one. */
export function plain(value: unknown): unknown {
  if (typeof value === "bigint" && BigInt.asIntN(53, value) === value) return Number(value);
  return Array.isArray(value) ? value.map(plain) : value;
}

/** Arguments of a request with a caller at their end, who is root where a test leaves it out. */
export function withCaller(op: OpName, args: readonly Argument[]): readonly Argument[] {
  const leftOut = { OPEN: 3, READLINK: 1 }[op as string];
  return args.length === leftOut ? [...args, 0, 0] : args;
}

export class RawClient {
  readonly transport: SocketTransport;
  /** Events, GOODBYEs and other frames that came unasked, decoded, oldest first. */
  readonly events: unknown[][] = [];
  /** Events that tell of file systems, which come as the client meets them. */
  readonly fileSystems: unknown[][] = [];
  goodbye: unknown[] | undefined;
  hello: Record<string, unknown> | undefined;
  readonly sequences = new Array<number>(SLOTS_MAX).fill(0);
  /** What its HELLO said, for another connection of the same session. */
  said = helloOf();
  /** EVENT frames taken in, by all connections of the session. */
  eventCount = 0;
  readonly #replies: Reply[] = [];
  /** Answers that have come, taken by `reply` or not. */
  answers = 0;
  readonly #polls = new PollSet(1);

  /** Connects to an address as users write it; a bare path is a unix socket's. */
  constructor(address: string) {
    const fd = connectTo(parseAddress(address));
    if (fd < 0) throw new Error(`Cannot connect to ${address}: errno ${-fd}`);
    this.transport = new SocketTransport(fd, { description: "the server under test" });
  }

  /** Connects, says HELLO and attaches to `root`; `splits`: the HOST's mounts are trees apart. */
  static attached(path: string, root: string, splits = false): RawClient {
    const client = new RawClient(path);
    client.greet();
    client.root = client.ok("ATTACH", root, 0, splits ? 1 : 0)[2] as number;
    return client;
  }

  /** Another connection for the session of `before`, whose own may be gone or not. */
  static resumed(path: string, before: RawClient, changes: Partial<ClientHello> = {}): RawClient {
    const client = new RawClient(path);
    client.sequences.splice(0, SLOTS_MAX, ...before.sequences);
    client.eventCount = before.eventCount;
    client.root = before.root;
    const { session } = before.said;
    client.greet({ session, resumes: true, events: before.eventCount, ...changes });
    return client;
  }

  /** Number of the node attached to. */
  root = 0;

  greet(changes: Partial<ClientHello> = {}): void {
    this.sayHello(changes);
    this.pump(() => this.hello !== undefined || this.closed);
    if (this.hello !== undefined && this.hello.magic !== MAGIC) throw new Error("no magic");
  }

  /** Puts a HELLO before what is sent next. */
  sayHello(changes: Partial<ClientHello> = {}): void {
    this.said = helloOf(changes);
    const bytes = encodeHello(this.said);
    const w = this.transport.begin(Kind.HELLO);
    w.bytes.set(bytes, w.at);
    w.at += bytes.length;
    this.transport.end();
  }

  get closed(): boolean {
    return this.transport.closed;
  }

  /** Starts a frame of `kind` whose header is an array of `items`. */
  frame(kind: number, items: readonly Argument[], payload?: Uint8Array): void {
    while (this.transport.congested) this.pump(() => !this.transport.congested || this.closed);
    const w = this.transport.begin(kind);
    w.array(items.length);
    for (const item of items) put(w, item);
    if (payload === undefined) this.transport.end();
    else this.transport.endCopy(payload, payload.length);
  }

  /** Sends a request in `slot` and returns its sequence; the answer is `reply`'s. */
  send(slot: number, op: OpName, args: readonly Argument[], payload?: Uint8Array): number {
    const sequence = (this.sequences[slot] as number) + 1;
    this.sequences[slot] = sequence;
    this.frame(Kind.REQUEST, [slot, sequence, Op[op], ...withCaller(op, args)], payload);
    this.transport.flush();
    return sequence;
  }

  cancel(slot: number): void {
    this.frame(Kind.CANCEL, [slot, this.sequences[slot] as number]);
    this.transport.flush();
  }

  /** Sends a message that has no answer. */
  oneway(...items: Argument[]): void {
    this.frame(Kind.ONEWAY, items);
    this.transport.flush();
  }

  /** The answer in `slot`; throws when the connection ends or none comes. */
  reply(slot: number): Reply {
    const mine = () => this.#replies.findIndex((r) => r.slot === slot);
    this.pump(() => mine() >= 0 || this.closed);
    const at = mine();
    if (at < 0) throw new Error(`No answer in slot ${slot}: ${JSON.stringify(this.goodbye)}`);
    return this.#replies.splice(at, 1)[0] as Reply;
  }

  /** Whether an answer in `slot` has come. */
  answered(slot: number): boolean {
    this.turn(0);
    return this.#replies.some((r) => r.slot === slot);
  }

  /** One request and its answer. */
  call(op: OpName, args: readonly Argument[], payload?: Uint8Array): Reply {
    this.send(0, op, args, payload);
    return this.reply(0);
  }

  /** Results of a request that must succeed. */
  ok(op: OpName, ...args: Argument[]): unknown[] {
    const reply = this.call(op, args);
    if (reply.errno !== 0) throw new Error(`${op} failed with errno ${reply.errno}`);
    return reply.results;
  }

  /** errno of a request. */
  errno(op: OpName, ...args: Argument[]): number {
    return this.call(op, args).errno;
  }

  /** Waits until the server has closed the connection; what it said. */
  ended(): unknown[] | undefined {
    this.pump(() => this.closed);
    return this.goodbye;
  }

  /** The next event; waits for it. */
  event(): unknown[] {
    this.pump(() => this.events.length > 0 || this.closed);
    return this.events.shift() as unknown[];
  }

  /** Says GOODBYE, which ends the session, and closes. */
  leave(): void {
    if (this.hello !== undefined && !this.closed && !this.transport.congested) {
      sayGoodbye(this.transport);
    }
    this.close();
  }

  close(): void {
    this.transport.close();
    this.transport.release();
  }

  /** Sends and receives until `done`. */
  pump(done: () => boolean): void {
    const deadline = performance.now() + ANSWER_TIMEOUT_MS;
    while (!done()) {
      if (performance.now() > deadline) throw new Error("The server does not answer");
      this.turn(100);
    }
  }

  /** One round: sends what is pending, waits at most `waitMs` for bytes, takes in what came. */
  turn(waitMs: number): void {
    const { transport } = this;
    if (transport.closed) return;
    transport.flush();
    this.#polls.clear();
    this.#polls.add(transport.fd, transport.pending ? POLLIN | POLLOUT : POLLIN);
    this.#polls.wait(waitMs);
    transport.receive();
    while (transport.next()) this.#take();
  }

  #take(): void {
    const { transport } = this;
    const { reader } = transport;
    const header = plain(
      decode(Buffer.from(reader.bytes.subarray(reader.at, reader.end))),
      // biome-ignore lint/suspicious/noExplicitAny: each kind of frame has items of its own
    ) as any;
    if (transport.kind === Kind.HELLO) this.hello = header;
    else if (transport.kind === Kind.GOODBYE) this.goodbye = [header[0], String(header[1])];
    else if (transport.kind === Kind.REPLY) {
      const [slot, sequence, errno, ...results] = header;
      const start = transport.payloadStart;
      const payload = Buffer.from(reader.bytes.subarray(start, start + transport.payloadLength));
      this.answers++;
      this.#replies.push({ slot, sequence, errno, results, payload });
    } else {
      if (transport.kind === Kind.EVENT) this.eventCount++;
      const isOfFileSystem = transport.kind === Kind.EVENT && header[0] === Event.FILE_SYSTEM;
      (isOfFileSystem ? this.fileSystems : this.events).push(header);
    }
  }
}
