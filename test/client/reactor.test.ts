/** The reactor, in a process of its own, with a server that stops in the midst of an answer. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Opcode } from "../../src/fuse/protocol.ts";
import { E } from "../../src/sys/errno.ts";
import { read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close } from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { SOCK_SEQPACKET, SOCK_STREAM, send, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Kind } from "../../src/wire/frame.ts";
import { Op } from "../../src/wire/ops.ts";
import { encode, frameOf } from "../fault/fuzz-client/mutate.ts";
import { ReactorProcess } from "../fault/fuzz-client/session.ts";
import { ok, okPair } from "../sys/support.ts";
import * as requests from "./requests.ts";

const BUFFER_BYTES = 4 * 1024 * 1024;
const BULK_BYTES = 256 * 1024;
const ANSWER_MS = 10_000;
const room = allocate(2 * 1024 * 1024);
const directory = mkdtempSync(`${tmpdir()}/qtfs-reactor-`);

let reactor: ReactorProcess;
let kernel: number;
let server: SocketTransport;
let unique = 0;

beforeAll(async () => {
  reactor = await ReactorProcess.start(directory);
});
afterAll(async () => {
  await reactor.end();
  rmSync(directory, { recursive: true });
});

beforeEach(() => {
  const [ours, device] = okPair(socketPair(SOCK_SEQPACKET));
  const [theirs, connection] = okPair(socketPair(SOCK_STREAM));
  for (const fd of [ours, device, theirs, connection]) ok(setBuffers(fd, BUFFER_BYTES));
  kernel = ours;
  server = new SocketTransport(theirs, { description: "the reactor" });
  reactor.give(device, connection);
});

afterEach(() => {
  server.close();
  server.release();
  close(kernel);
  expect(reactor.report().refused).toBe(0);
});

function waitFor(fd: number, what: string): void {
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  if (polls.wait(ANSWER_MS) <= 0) throw new Error(`It never came: ${what}`);
}

/** The kernel asks; its number, and the slot and sequence that the server got it with. */
function ask(opcode: number, body: Uint8Array, pid = process.pid): [bigint, bigint] {
  const bytes = requests.requestBytes(opcode, body, { unique: ++unique, pid });
  room.bytes.set(bytes);
  ok(write(kernel, room.address, bytes.length));
  return requested();
}

/** Slot and sequence of the next request of the kernel's that the server gets. */
function requested(): [bigint, bigint] {
  while (true) {
    while (!server.next()) {
      waitFor(server.fd, "a request");
      server.receive();
    }
    const { reader } = server;
    reader.array();
    const [slot, sequence] = [BigInt(reader.uint()), BigInt(reader.uint())];
    if (server.kind === Kind.REQUEST && reader.uint() !== Op.PING) return [slot, sequence];
  }
}

function say(bytes: Buffer): void {
  room.bytes.set(bytes);
  expect(send(server.fd, room.address, bytes.length, 0)).toBe(bytes.length);
}

/** What the kernel is told next: whose answer it is, and its errno. */
function told(): [unique: number, error: number] {
  waitFor(kernel, "an answer to the kernel");
  ok(read(kernel, room.address, room.size));
  return [Number(room.view.getBigUint64(8, true)), room.view.getInt32(4, true)];
}

describe("the caller of a large READ whose data stops coming", () => {
  test.each([
    ["that is dying gets EINTR", E.EINTR],
    ["gets EIO when the server has been silent for too long", E.EIO],
  ])("%s, and the next caller its own answer", async (_, errno) => {
    const child = Bun.spawn(["true"]);
    await child.exited;
    const pid = errno === E.EINTR ? child.pid : process.pid;
    const [slot, sequence] = ask(Opcode.READ, requests.read(1, 0, BULK_BYTES), pid);
    const reader = unique;
    const data = Buffer.alloc(BULK_BYTES, "d");
    const answer = encode(frameOf(Kind.REPLY, [slot, sequence, 0n], data));
    say(answer.subarray(0, BULK_BYTES / 2));
    expect(told()).toEqual([reader, -errno]);
    say(answer.subarray(BULK_BYTES / 2));
    const [next, nextSequence] = ask(Opcode.READLINK, Buffer.alloc(0));
    say(encode(frameOf(Kind.REPLY, [next, nextSequence, 0n, 0n, 0n, 0n], Buffer.from("target"))));
    expect(told()).toEqual([unique, 0]);
    expect(room.bytes.toString("latin1", 16, 22)).toBe("target");
  });
});
