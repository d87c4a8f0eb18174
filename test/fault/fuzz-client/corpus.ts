/**
 * What a kernel asks and what an honest server answers: recorded from the real
 * server, so that hostile answers begin as true ones.
 */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { attachTo } from "../../../src/client/connect.ts";
import { State } from "../../../src/client/pending.ts";
import { Opcode } from "../../../src/fuse/protocol.ts";
import { machineFacts } from "../../../src/info/facts.ts";
import { POLLIN, PollSet } from "../../../src/sys/poll.ts";
import type { SocketTransport } from "../../../src/transport/socket.ts";
import { Kind } from "../../../src/wire/frame.ts";
import { Rig } from "../../client/rig.ts";
import { TestServer } from "../../support/server.ts";
import { head, items, Major } from "./cbor.ts";
import type { Frame } from "./mutate.ts";

const ANSWER_MS = 10_000;
const SMALL_BYTES = 100;
const LARGE_BYTES = 300_000;

/** One request of the kernel and the server's answer to it. */
export interface Exchange {
  opcode: number;
  node: bigint;
  body: Buffer;
  /** The request as the server gets it, less slot and sequence, and its operation. */
  asked: string;
  op: bigint;
  /** The reply's items after slot and sequence, and their number. */
  results: Buffer;
  resultCount: number;
  payload: Buffer;
}

/** What of a request's header is the same each time. */
export function splitRequest(header: Buffer): { op: bigint; asked: string } {
  const [, , sequence, op] = items(header);
  if (!sequence || !op) throw new Error("A request has no operation");
  return { op: op.value, asked: header.toString("latin1", sequence.end) };
}

/** The honest reply to a request with this header. */
export function honest(exchange: Exchange, request: Buffer): Frame {
  const { results, resultCount, payload } = exchange;
  const [array, , sequence] = items(request);
  const numbers = request.subarray(array?.end, sequence?.end);
  const header = Buffer.concat([head(Major.ARRAY, BigInt(2 + resultCount)), numbers, results]);
  return { kind: Kind.REPLY, header, payload };
}

/** The frame that a transport stands on. */
export function frameAt(transport: SocketTransport): Frame {
  const { kind, reader, payloadStart, payloadLength } = transport;
  const header = Buffer.from(reader.bytes.subarray(reader.at, reader.end));
  const payload = reader.bytes.subarray(payloadStart, payloadStart + payloadLength);
  return { kind, header, payload: Buffer.from(payload) };
}

function pass(to: SocketTransport, frame: Frame): void {
  const w = to.begin(frame.kind);
  w.bytes.set(frame.header, w.at);
  w.at += frame.header.length;
  to.endCopy(frame.payload, frame.payload.length);
  to.flush();
}

/** A kernel's conversation with the real server, with a look at all that is said. */
class Recorder {
  readonly exchanges: Exchange[] = [];
  readonly #rig = new Rig(64, 4 * 1024 * 1024);
  readonly #server: SocketTransport;
  readonly #polls = new PollSet(1);

  constructor(server: TestServer) {
    const address = { kind: "unix", path: server.address } as const;
    const subject = { source: server.share, facts: machineFacts(), splits: false };
    this.#server = attachTo([address], subject, ANSWER_MS).transport;
    this.#polls.add(this.#server.fd, POLLIN);
    // ATTACH was the first request of slot 0.
    this.#rig.client.pending.sequence[0] = 1;
  }

  /** Asks and records; the body of the answer that the kernel got. */
  call(opcode: number, node: bigint, body: Uint8Array): Buffer {
    const rig = this.#rig;
    rig.request(opcode, body, { node });
    let told = rig.told();
    while (told === undefined) {
      rig.client.transport.flush();
      rig.server.receive();
      while (rig.server.next()) this.#serve({ opcode, node, body: Buffer.from(body) });
      rig.settle();
      told = rig.told();
    }
    if (told.error !== 0) throw new Error(`Opcode ${opcode} failed when recorded: ${told.error}`);
    return told.body;
  }

  /** Passes a frame on to the real server, and its reply back. */
  #serve(asked: Pick<Exchange, "opcode" | "node" | "body">): void {
    const request = frameAt(this.#rig.server);
    pass(this.#server, request);
    if (request.kind !== Kind.REQUEST) return;
    const reply = this.#reply();
    pass(this.#rig.server, reply);
    const [array, slot, sequence] = items(reply.header);
    // What the client asks of its own accord depends on what came before.
    if (this.#rig.client.pending.state[Number(slot?.value)] === State.OWN) return;
    const results = reply.header.subarray(sequence?.end);
    const resultCount = Number(array?.value) - 2;
    const { payload } = reply;
    this.exchanges.push({
      ...asked,
      ...splitRequest(request.header),
      results,
      resultCount,
      payload,
    });
  }

  #reply(): Frame {
    while (true) {
      while (!this.#server.next()) {
        if (this.#polls.wait(ANSWER_MS) <= 0) throw new Error("The real server does not answer");
        this.#server.receive();
      }
      if (this.#server.kind === Kind.REPLY) return frameAt(this.#server);
    }
  }

  close(): void {
    this.#server.close();
    this.#rig.close();
  }
}

/** 32-bit words, then text with terminators. */
function body(words: readonly number[], ...texts: string[]): Buffer {
  const bytes = Buffer.alloc(words.length * 4);
  for (const [i, word] of words.entries()) bytes.writeUInt32LE(word >>> 0, i * 4);
  return Buffer.concat([bytes, ...texts.map((text) => Buffer.from(`${text}\0`))]);
}

const nodeOf = (entry: Buffer) => entry.readBigUInt64LE(0);

/** Records one of every operation. */
export async function record(): Promise<Exchange[]> {
  const server = await TestServer.start();
  try {
    writeFileSync(server.path("small"), Buffer.alloc(SMALL_BYTES, "s"));
    writeFileSync(server.path("large"), Buffer.alloc(LARGE_BYTES, "l"));
    symlinkSync("small", server.path("link"));
    mkdirSync(server.path("directory"));
    for (let i = 0; i < 40; i++) writeFileSync(server.path("directory", `entry${i}`), "");
    const recorder = new Recorder(server);
    converse(recorder);
    recorder.close();
    return recorder.exchanges;
  } finally {
    await server.stop();
  }
}

function converse(r: Recorder): void {
  const root = 1n;
  const small = nodeOf(r.call(Opcode.LOOKUP, root, body([], "small")));
  const large = nodeOf(r.call(Opcode.LOOKUP, root, body([], "large")));
  const link = nodeOf(r.call(Opcode.LOOKUP, root, body([], "link")));
  const directory = nodeOf(r.call(Opcode.LOOKUP, root, body([], "directory")));
  r.call(Opcode.GETATTR, small, body([0, 0, 0, 0]));
  r.call(Opcode.STATX, small, body([0, 0, 0, 0, 0, 0xfff]));
  r.call(Opcode.READLINK, link, body([]));
  r.call(Opcode.STATFS, root, body([]));
  r.call(Opcode.SETATTR, small, setattr());
  const mode = [0o644, 0, 0, 0];
  r.call(Opcode.MKNOD, root, body([0o100644, 0, 0, 0], "made"));
  r.call(Opcode.MKDIR, root, body([0o755, 0], "new directory"));
  r.call(Opcode.SYMLINK, root, body([], "soft", "target"));
  r.call(Opcode.LINK, root, Buffer.concat([node64(small), body([], "hard")]));
  r.call(Opcode.RENAME2, root, Buffer.concat([node64(root), body([0, 0], "soft", "softer")]));
  r.call(Opcode.UNLINK, root, body([], "softer"));
  r.call(Opcode.RMDIR, root, body([], "new directory"));
  const created = r.call(Opcode.CREATE, root, body([0o102, ...mode.slice(0, 1), 0, 0], "created"));
  onFile(r, nodeOf(created), created.readUInt32LE(128));
  const opened = r.call(Opcode.OPEN, large, body([0o2, 0])).readUInt32LE(0);
  for (const [offset, size] of [
    [0, 4096],
    [4096, 65_536],
    [8192, 100_000],
    [LARGE_BYTES, 4096],
  ] as const) {
    r.call(Opcode.READ, large, body([opened, 0, offset, 0, size, 0, 0, 0, 0, 0]));
  }
  onDirectory(r, directory);
  onAttributes(r, small);
}

function node64(node: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(node);
  return bytes;
}

/** struct fuse_setattr_in: the mode and the time of modification. */
function setattr(): Buffer {
  const bytes = Buffer.alloc(88);
  bytes.writeUInt32LE(1 | (1 << 5), 0);
  bytes.writeBigInt64LE(1_700_000_000n, 40);
  bytes.writeUInt32LE(0o600, 68);
  return bytes;
}

/** Operations on the open file `fh`. */
function onFile(r: Recorder, node: bigint, fh: number): void {
  const data = Buffer.alloc(5000, "d");
  const head = body([fh, 0, 0, 0, data.length, 0, 0, 0, 0, 0]);
  r.call(Opcode.WRITE, node, Buffer.concat([head, data]));
  r.call(Opcode.FSYNC, node, body([fh, 0, 0, 0]));
  r.call(Opcode.FALLOCATE, node, body([fh, 0, 0, 0, 8192, 0, 0, 0]));
  r.call(Opcode.LSEEK, node, body([fh, 0, 0, 0, 3, 0]));
  r.call(
    Opcode.COPY_FILE_RANGE,
    node,
    body([fh, 0, 0, 0, ...halves(node), fh, 0, 16_384, 0, 100, 0, 0, 0]),
  );
  const lock = (type: number) => body([fh, 0, 7, 0, 0, 0, 9, 0, type, process.pid, 0, 0]);
  r.call(Opcode.GETLK, node, lock(1));
  r.call(Opcode.SETLK, node, lock(1));
  r.call(Opcode.FLUSH, node, body([fh, 0, 0, 0, 7, 0]));
}

function halves(node: bigint): [number, number] {
  return [Number(node & 0xffff_ffffn), Number(node >> 32n)];
}

function onDirectory(r: Recorder, node: bigint): void {
  const fh = r.call(Opcode.OPENDIR, node, body([0o200000, 0])).readUInt32LE(0);
  const read = [fh, 0, 0, 0, 4096, 0, 0, 0, 0, 0];
  r.call(Opcode.READDIR, node, body(read));
  r.call(Opcode.READDIRPLUS, node, body([fh, 0, 0, 0, 32_768, 0, 0, 0, 0, 0]));
  r.call(Opcode.FSYNCDIR, node, body([fh, 0, 0, 0]));
}

function onAttributes(r: Recorder, node: bigint): void {
  r.call(Opcode.SETXATTR, node, body([5, 0, 0, 0], "user.note", "text"));
  r.call(Opcode.GETXATTR, node, body([0, 0], "user.note"));
  r.call(Opcode.GETXATTR, node, body([100, 0], "user.note"));
  r.call(Opcode.LISTXATTR, node, body([1000, 0]));
  r.call(Opcode.REMOVEXATTR, node, body([], "user.note"));
  // FS_IOC_GETFLAGS
  r.call(Opcode.IOCTL, node, body([0, 0, 16, 0x8008_6601, 0, 0, 0, 8]));
  r.call(Opcode.SYNCFS, 1n, body([0, 0]));
}
