/** Spliced answers: from a socket through a pipe into a file that stands in for /dev/fuse. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { BULK_MAX, BULK_MIN, Bulk, BulkAnswer } from "../../src/client/bulk.ts";
import { FuseDevice } from "../../src/fuse/device.ts";
import { OUT_HEADER_SIZE } from "../../src/fuse/protocol.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, openat } from "../../src/sys/open.ts";
import { SOCK_STREAM, send, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { ok, okPair } from "../sys/support.ts";

const BUFFER_BYTES = 4 * 1024 * 1024;
/** More pieces than a pipe of 1 MiB has places. */
const PIECES = 400;

const directory = mkdtempSync(`${tmpdir()}/qtfs-bulk-`);
afterAll(() => rmSync(directory, { recursive: true }));
const path = `${directory}/device`;
const source = allocate(BULK_MAX);
for (let i = 0; i < source.size; i++) source.bytes[i] = (i * 11 + (i >> 8)) & 0xff;

let server = -1;
let transport: SocketTransport;
let fuse: FuseDevice;
let bulk: BulkAnswer;

beforeEach(() => {
  const [ours, theirs] = okPair(socketPair(SOCK_STREAM));
  for (const end of [ours, theirs]) ok(setBuffers(end, BUFFER_BYTES));
  server = theirs;
  transport = new SocketTransport(ours, { description: "the test" });
  fuse = new FuseDevice(ok(openat(AT_FDCWD, cstring(path), O_RDWR | O_CREAT | O_TRUNC, 0o600)));
  bulk = new BulkAnswer(fuse);
});

afterEach(() => {
  bulk.close();
  transport.close();
  close(fuse.fd);
  if (server >= 0) close(server);
});

/** The server sends `[from, to)` of the source in pieces of at most `bytes`. */
function serve(from: number, to: number, bytes = to - from): void {
  for (let at = from; at < to; at += bytes) {
    const length = Math.min(bytes, to - at);
    expect(send(server, source.address + at, length, 0)).toBe(length);
  }
}

/** What the kernel should have got: headers with their data, one after the other. */
function answer(unique: number, length: number): Buffer {
  const header = Buffer.alloc(OUT_HEADER_SIZE);
  header.writeUInt32LE(OUT_HEADER_SIZE + length, 0);
  header.writeUInt32LE(unique, 8);
  header.writeUInt32LE(unique + 1, 12);
  return Buffer.concat([header, source.bytes.subarray(0, length)]);
}

function begin(unique: number, length: number, have: number): void {
  bulk.begin(unique, unique + 1, length, source.address, have);
  expect(bulk.active).toBe(true);
}

function expectTold(...answers: Buffer[]): void {
  expect(readFileSync(path).equals(Buffer.concat(answers))).toBe(true);
  expect(fuse.refused).toBe(0);
}

describe("an answer that has arrived", () => {
  const lengths = [1, 4095, 4096, 4097, BULK_MIN, BULK_MIN + 1, BULK_MAX - 1, BULK_MAX];

  test.each(lengths)("of %d bytes is the kernel's in one step", (length) => {
    for (const have of [0, 1, 3000].filter((have) => have < length)) {
      begin(have, length, have);
      serve(have, length);
      expect(bulk.step(transport)).toBe(Bulk.DONE);
      expect(bulk.active).toBe(false);
    }
    expectTold(...[0, 1, 3000].filter((have) => have < length).map((have) => answer(have, length)));
  });

  test("counts as received, but for what had been before", () => {
    begin(1, BULK_MIN, 100);
    serve(100, BULK_MIN);
    bulk.step(transport);
    expect(transport.bytesReceived).toBe(BULK_MIN - 100);
  });

  test("leaves what comes after it in the socket", () => {
    begin(1, BULK_MIN, 0);
    serve(0, BULK_MIN + 50);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    expect(transport.receive()).toBe(50);
  });
});

describe("an answer in pieces", () => {
  test("waits for each", () => {
    begin(7, BULK_MIN, 0);
    expect(bulk.step(transport)).toBe(Bulk.WAIT);
    for (const [from, to] of [
      [0, 1],
      [1, 5000],
      [5000, BULK_MIN - 1],
    ] as const) {
      serve(from, to);
      expect(bulk.step(transport)).toBe(Bulk.WAIT);
      expect(readFileSync(path).length).toBe(0);
    }
    serve(BULK_MIN - 1, BULK_MIN);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    expectTold(answer(7, BULK_MIN));
  });

  test("too small for the pipe goes through memory, and the next by the pipe again", () => {
    const length = BULK_MIN;
    const piece = Math.ceil(length / PIECES);
    begin(1, length, 10);
    serve(10, length, piece);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    begin(2, length, 0);
    serve(0, length / 2, piece);
    expect(bulk.step(transport)).toBe(Bulk.WAIT);
    serve(length / 2, length, piece);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    begin(3, BULK_MAX, 0);
    serve(0, BULK_MAX);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    expectTold(answer(1, length), answer(2, length), answer(3, BULK_MAX));
  });
});

describe("an answer that does not come to its end", () => {
  test.each([
    ["by the pipe", BULK_MIN],
    ["through memory", 200],
  ])("%s: nothing of it reaches the kernel or the next answer", (_, bytes) => {
    begin(1, BULK_MAX, 5);
    serve(5, BULK_MIN, bytes);
    expect(bulk.step(transport)).toBe(Bulk.WAIT);
    close(server);
    server = -1;
    expect(bulk.step(transport)).toBe(Bulk.BROKEN);
    bulk.drop();
    expect(bulk.active).toBe(false);
    expectTold();
    const [ours, theirs] = okPair(socketPair(SOCK_STREAM));
    transport.close();
    transport = new SocketTransport(ours, { description: "the test" });
    server = theirs;
    begin(2, 5000, 0);
    serve(0, 5000);
    expect(bulk.step(transport)).toBe(Bulk.DONE);
    expectTold(answer(2, 5000));
  });
});

test.each([
  ["by the pipe", BULK_MAX],
  ["through memory", 200],
])("an answer that nobody waits for, %s, is received and goes nowhere", (_, bytes) => {
  begin(1, BULK_MIN, 5);
  serve(5, BULK_MIN / 2, bytes);
  expect(bulk.step(transport)).toBe(Bulk.WAIT);
  bulk.discard();
  serve(BULK_MIN / 2, BULK_MIN, bytes);
  expect(bulk.step(transport)).toBe(Bulk.DONE);
  begin(2, BULK_MIN, 0);
  serve(0, BULK_MIN);
  expect(bulk.step(transport)).toBe(Bulk.DONE);
  expectTold(answer(2, BULK_MIN));
});

test("an answer that the kernel refuses is counted, and leaves nothing in the pipe", () => {
  const refusing = ok(openat(AT_FDCWD, cstring(path), O_RDONLY, 0));
  const device = new FuseDevice(refusing);
  const refused = new BulkAnswer(device);
  for (let i = 1; i <= 20; i++) {
    refused.begin(i, 0, BULK_MIN, source.address, 0);
    serve(0, BULK_MIN);
    expect(refused.step(transport)).toBe(Bulk.DONE);
    expect(device.refused).toBe(i);
  }
  refused.close();
  close(refusing);
  expectTold();
});
