/** Frames over a socket pair whose buffers are tiny, so that everything arrives in parts. */
import { afterAll, afterEach, expect, test } from "bun:test";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pread, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { SOCK_STREAM, setBuffers, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { CLOSED, WOULD_BLOCK } from "../../src/transport/transport.ts";
import { ProtocolError } from "../../src/wire/error.ts";
import { Kind, putPrefix } from "../../src/wire/frame.ts";
import { FRAME_MAX, HEADER_MAX, PAYLOAD_MAX, PREFIX_BYTES } from "../../src/wire/limits.ts";
import { type Random, random, seedFor } from "../support/random.ts";

const PEER = { description: "the other end" };
const open: SocketTransport[] = [];
const scratch = allocate(PAYLOAD_MAX);
const directory = mkdtempSync(join(tmpdir(), "qtfs-transport-"));
const staging = openSync(join(directory, "staging"), "w+");
afterAll(() => rmSync(directory, { recursive: true }));

/** Two ends, with the least buffer that the kernel gives unless `bufferBytes` says otherwise. */
function ends(bufferBytes = 1): [SocketTransport, SocketTransport] {
  const fds = socketPair(SOCK_STREAM);
  if (typeof fds === "number") throw new Error(`socketpair: errno ${-fds}`);
  for (const fd of fds) setBuffers(fd, bufferBytes);
  const pair = fds.map((fd) => new SocketTransport(fd, PEER)) as [SocketTransport, SocketTransport];
  open.push(...pair);
  return pair;
}

afterEach(() => {
  for (const transport of open.splice(0)) {
    transport.close();
    transport.release();
  }
});

interface Frame {
  kind: number;
  header: Buffer;
  payload: Buffer;
}

/** The frames that have arrived whole. */
function frames(transport: SocketTransport): Frame[] {
  const found: Frame[] = [];
  while (transport.next()) {
    const { reader, payloadStart, payloadLength } = transport;
    const copy = (start: number, end: number) => Buffer.from(reader.bytes.subarray(start, end));
    found.push({
      kind: transport.kind,
      header: copy(reader.at, reader.end),
      payload: copy(payloadStart, payloadStart + payloadLength),
    });
  }
  return found;
}

/** Sends with `from` and receives with `to` until `count` frames have come. */
function exchange(
  from: SocketTransport,
  to: SocketTransport,
  count: number,
  limit = () => 1 << 22,
) {
  const found: Frame[] = [];
  for (let round = 0; found.length < count; round++) {
    if (round > 1_000_000) throw new Error("the frames do not arrive");
    from.flush();
    to.receive(limit());
    found.push(...frames(to));
  }
  return found;
}

function randomFrame(rng: Random): Frame {
  const size = (max: number) => rng.below(rng.chance(0.05) ? max + 1 : 300);
  return {
    kind: rng.below(8),
    header: Buffer.from(rng.bytes(size(5000))),
    payload: rng.chance(0.4) ? Buffer.alloc(0) : Buffer.from(rng.bytes(size(200_000))),
  };
}

function begin(transport: SocketTransport, frame: Frame): void {
  const w = transport.begin(frame.kind);
  w.bytes.set(frame.header, w.at);
  w.at += frame.header.length;
}

/** Sends a frame in one of the ways there are: copied, put in place, from where it lies. */
function put(transport: SocketTransport, frame: Frame, way: number): void {
  begin(transport, frame);
  const { payload } = frame;
  if (payload.length === 0) transport.end();
  else if (way === 0) transport.endCopy(payload, payload.length);
  else if (way === 1) {
    // As a READ does: a system call puts the bytes there.
    writeSync(staging, payload, 0, payload.length, 0);
    expect(pread(staging, transport.payloadRoom(), payload.length, 0)).toBe(payload.length);
    transport.endInline(payload.length);
  } else {
    scratch.bytes.set(payload);
    transport.endWith(scratch.address, payload.length);
  }
}

const SEED = seedFor("transport");

test(`frames of any size arrive whole and in order, however they are cut (${SEED})`, () => {
  const rng = random(SEED);
  for (let round = 0; round < 4; round++) {
    const [a, b] = ends();
    const sent: Frame[] = [];
    const got: Frame[] = [];
    while (sent.length < 300) {
      while (!a.congested && sent.length < 300) {
        const frame = randomFrame(rng);
        sent.push(frame);
        put(a, frame, rng.below(3));
      }
      b.receive(1 + rng.below(5000));
      got.push(...frames(b));
      a.flush();
    }
    got.push(...exchange(a, b, sent.length - got.length, () => 1 + rng.below(100_000)));
    expect(got).toEqual(sent);
    expect(b.bytesReceived).toBe(a.bytesSent);
    expect(a.pending || b.hasMore).toBe(false);
  }
});

test("the largest frame there is arrives", () => {
  const [a, b] = ends();
  const frame = {
    kind: Kind.REPLY,
    header: Buffer.alloc(HEADER_MAX, 3),
    payload: Buffer.alloc(PAYLOAD_MAX, 4),
  };
  for (const way of [0, 1, 2]) {
    put(a, frame, way);
    const [got] = exchange(a, b, 1) as [Frame];
    expect(got.header.equals(frame.header) && got.payload.equals(frame.payload)).toBe(true);
  }
});

test("frames that would be too large are refused by their own sender", () => {
  const [a] = ends();
  a.begin(Kind.REQUEST).at += HEADER_MAX + 1;
  expect(() => a.end()).toThrow(ProtocolError);
  a.begin(Kind.REQUEST);
  expect(() => a.endWith(scratch.address, PAYLOAD_MAX + 1)).toThrow(ProtocolError);
});

test("small frames gather and leave together", () => {
  const [a, b] = ends(65536);
  for (let i = 0; i < 100; i++)
    put(a, { kind: 2, header: Buffer.from([i]), payload: Buffer.alloc(0) }, 0);
  expect(a.bytesSent).toBe(0);
  expect(a.pending).toBe(true);
  expect(a.flush()).toBe(true);
  b.receive();
  expect(frames(b).map((f) => f.header[0])).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("a frame that is abandoned leaves no trace", () => {
  const [a, b] = ends();
  put(a, { kind: 2, header: Buffer.from("one"), payload: Buffer.alloc(0) }, 0);
  a.begin(3).at += 100;
  a.abandon();
  put(a, { kind: 4, header: Buffer.from("two"), payload: Buffer.alloc(0) }, 0);
  const got = exchange(a, b, 2);
  expect(got.map((f) => [f.kind, String(f.header)])).toEqual([
    [2, "one"],
    [4, "two"],
  ]);
});

test("bulk goes after what was gathered before it, and nothing goes between", () => {
  const [a, b] = ends();
  const payload = Buffer.alloc(500_000, 7);
  put(a, { kind: 2, header: Buffer.from("before"), payload: Buffer.alloc(0) }, 0);
  put(a, { kind: 3, header: Buffer.from("bulk"), payload }, 2);
  expect(a.congested).toBe(true);
  const got = exchange(a, b, 2);
  expect(a.congested).toBe(false);
  put(a, { kind: 4, header: Buffer.from("after"), payload: Buffer.alloc(0) }, 0);
  got.push(...exchange(a, b, 1));
  expect(got.map((f) => String(f.header))).toEqual(["before", "bulk", "after"]);
  expect(got[1]?.payload.equals(payload)).toBe(true);
});

/** A file with these bytes, open. */
function file(bytes: Buffer): number {
  const path = join(directory, "f");
  writeFileSync(path, bytes);
  return openSync(path, "r+");
}

test("a payload leaves from its file, at any offset", () => {
  const [a, b] = ends();
  const bytes = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)));
  const fd = file(Buffer.concat([bytes, bytes, bytes]));
  for (const [offset, length] of [
    [0, 196_608],
    [1, 4096],
    [65_535, 100_001],
  ] as const) {
    begin(a, { kind: 3, header: Buffer.from("file"), payload: Buffer.alloc(0) });
    a.endWithFile(fd, offset, length);
    const [got] = exchange(a, b, 1) as [Frame];
    const whole = Buffer.concat([bytes, bytes, bytes]);
    expect(got.payload.equals(whole.subarray(offset, offset + length))).toBe(true);
  }
  closeSync(fd);
});

test("a file that becomes shorter while it is sent is filled up with zeros", () => {
  const [a, b] = ends();
  const fd = file(Buffer.alloc(500_000, 1));
  begin(a, { kind: 3, header: Buffer.from("file"), payload: Buffer.alloc(0) });
  a.endWithFile(fd, 0, 500_000);
  expect(a.congested).toBe(true);
  ftruncateSync(fd, 100);
  const [got] = exchange(a, b, 1) as [Frame];
  const end = got.payload.indexOf(0);
  expect(got.payload.length).toBe(500_000);
  expect(got.payload.subarray(0, end).every((byte) => byte === 1)).toBe(true);
  expect(got.payload.subarray(end).every((byte) => byte === 0)).toBe(true);
  closeSync(fd);
});

test("a file that cannot be read costs the connection, and none is sent so any more", () => {
  const code = `
    import { openSync } from "node:fs";
    import { SOCK_STREAM, socketPair } from "${import.meta.dir}/../../src/sys/socket.ts";
    import { filesCanBeSent, SocketTransport } from "${import.meta.dir}/../../src/transport/socket.ts";
    const [a] = socketPair(SOCK_STREAM);
    const transport = new SocketTransport(a, { description: "" });
    const before = filesCanBeSent();
    transport.begin(3).uint(1);
    transport.endWithFile(openSync("/tmp", "r"), 0, 1000);
    console.log(before, transport.closed, filesCanBeSent());`;
  const ran = Bun.spawnSync([process.execPath, "-e", code]);
  expect(String(ran.stdout)).toBe("true true false\n");
});

test("a receiver that is full takes no more, and loses nothing", () => {
  const [a, b] = ends(1 << 22);
  const payload = Buffer.alloc(100_000, 5);
  const count = Math.ceil((3 * FRAME_MAX) / payload.length);
  let sent = 0;
  const send = () => {
    while (sent < count && !a.congested) {
      put(a, { kind: 2, header: Buffer.from([sent++ & 0xff]), payload }, 0);
      a.flush();
    }
    a.flush();
  };
  send();
  // Frames are not taken out: the buffer fills up.
  while (b.receive() > 0) send();
  expect(b.receive()).toBe(WOULD_BLOCK);
  expect(b.closed).toBe(false);
  expect(b.hasMore).toBe(true);
  const got = frames(b);
  while (got.length < count) {
    send();
    b.receive();
    got.push(...frames(b));
  }
  expect(got.map((f) => f.header[0])).toEqual(Array.from({ length: count }, (_, i) => i & 0xff));
  expect(got.every((f) => f.payload.equals(payload))).toBe(true);
});

test("the end in the middle of a frame is the end, and the part is no frame", () => {
  for (const cut of [0, 3, PREFIX_BYTES, PREFIX_BYTES + 2, PREFIX_BYTES + 10]) {
    const [a, b] = ends();
    const view = new DataView(scratch.bytes.buffer);
    putPrefix(view, 0, Kind.REPLY, 5, 10);
    write(a.fd, scratch.address, cut);
    a.close();
    if (cut > 0) expect(b.receive()).toBe(cut);
    expect(b.next()).toBe(false);
    expect(b.receive()).toBe(CLOSED);
    expect([b.closed, b.next(), b.receive()]).toEqual([true, false, CLOSED]);
  }
});

test("sending to an end that is gone closes this one, without a signal", () => {
  for (const way of [0, 2]) {
    const [a, b] = ends();
    b.close();
    put(a, { kind: 2, header: Buffer.from("x"), payload: Buffer.alloc(1000) }, way);
    expect(a.flush()).toBe(false);
    expect(a.closed).toBe(true);
  }
});

test("a closed end takes frames that go nowhere, and is never congested", () => {
  const [a] = ends();
  a.close();
  for (const way of [0, 1, 2]) {
    put(a, { kind: 2, header: Buffer.from("x"), payload: Buffer.alloc(200_000) }, way);
    expect([a.congested, a.pending, a.bytesSent]).toEqual([false, false, 0]);
  }
});

test.each<[string, number, number, number]>([
  ["a payload beyond its limit", Kind.REPLY, 1, PAYLOAD_MAX + 1],
  ["a header beyond its limit", Kind.REPLY, HEADER_MAX + 1, 1],
  ["an unknown kind", 200, 1, 1],
])("%s is refused as soon as the prefix is there", (_, kind, header, payload) => {
  const [a, b] = ends();
  const view = new DataView(scratch.bytes.buffer);
  putPrefix(view, 0, kind, header, payload);
  write(a.fd, scratch.address, PREFIX_BYTES);
  b.receive();
  expect(() => b.next()).toThrow(ProtocolError);
});

test("a frame can be looked at before its payload is here, and left to others", () => {
  const [a, b] = ends(65536);
  const view = new DataView(scratch.bytes.buffer);
  expect(b.peek()).toBe(-1);
  putPrefix(view, 0, Kind.REPLY, 2, 100);
  scratch.bytes.set([0x18, 0x2a], PREFIX_BYTES);
  write(a.fd, scratch.address, PREFIX_BYTES + 1);
  b.receive();
  expect(b.peek()).toBe(-1);
  write(a.fd, scratch.address + PREFIX_BYTES + 1, 1 + 30);
  b.receive();
  expect([b.peek(), b.kind, b.reader.uint(), b.payloadLength]).toEqual([30, Kind.REPLY, 42, 100]);
  expect(b.next()).toBe(false);
  b.dropPeeked();
  expect(b.hasMore).toBe(false);
});

test("many connections that come and go leave no memory mapped", () => {
  const mapped = () => readFileSync("/proc/self/maps", "utf8").split("\n").length;
  const cycle = () => {
    const [a, b] = ends();
    put(a, { kind: 2, header: Buffer.from("x"), payload: Buffer.alloc(10) }, 2);
    exchange(a, b, 1);
    for (const transport of open.splice(0)) {
      transport.close();
      transport.release();
    }
  };
  for (let i = 0; i < 20; i++) cycle();
  const before = mapped();
  for (let i = 0; i < 300; i++) cycle();
  expect(mapped()).toBeLessThan(before + 60);
});
