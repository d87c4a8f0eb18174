/** Data that is spliced from a pipe and to one: none is lost nor comes twice, wherever the connection is cut. */
import { afterEach, expect, test } from "bun:test";
import type { Stream } from "../../src/session/stream.ts";
import { E } from "../../src/sys/errno.ts";
import { pipe2, read, setPipeSize, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close, O_CLOEXEC, O_NONBLOCK } from "../../src/sys/open.ts";
import { STREAM_SPLICED_MAX } from "../../src/wire/limits.ts";
import { random, seedFor } from "../support/random.ts";
import { ok, okPair } from "../sys/support.ts";
import { Recorder } from "./pair.ts";
import { ResumablePair } from "./resumablepair.ts";

const CHUNK = 64 * 1024;
const NOTHING = new Uint8Array(0);
const room = allocate(1 << 20);
const open: number[] = [];
let pair = new ResumablePair();

afterEach(() => {
  pair.close();
  for (const fd of open.splice(0)) close(fd);
});

function pipe(): [number, number] {
  const ends = okPair(pipe2(O_CLOEXEC | O_NONBLOCK));
  ok(setPipeSize(ends[1], 1 << 20));
  open.push(...ends);
  return ends;
}

/** Takes data from pipes while it `takesPipes`, and notes how much came in which way. */
class Taker extends Recorder {
  takesPipes = true;
  piped = 0;

  onPiped(stream: Stream, fd: number, length: number): void {
    for (let left = length; left > 0; ) {
      const got = ok(read(fd, room.address, left));
      this.chunks.push(Buffer.from(room.bytes.subarray(0, got)));
      left -= got;
    }
    this.piped += length;
    stream.consumed(length);
  }
}

function start(splicedMax = CHUNK): { stream: Stream; taker: Taker } {
  const taker = new Taker();
  pair = new ResumablePair(undefined, () => taker);
  pair.splicedMax = splicedMax;
  pair.join();
  const stream = pair.client.streams.open(1, NOTHING, new Recorder());
  if (stream === undefined) throw new Error("cannot open a stream");
  return { stream, taker };
}

/** Puts bytes into a pipe, in pieces of `piece`; how many it took. */
function put(fd: number, bytes: Buffer, piece: number): number {
  let at = 0;
  while (at < bytes.length) {
    const part = bytes.subarray(at, at + piece);
    room.bytes.set(part);
    const wrote = write(fd, room.address, part.length);
    if (wrote === -E.EAGAIN) return at;
    at += ok(wrote);
  }
  return at;
}

test("goes from a pipe to a pipe, and between it what is copied", () => {
  const { stream, taker } = start();
  const [from, to] = pipe();
  const data = Buffer.from(random(seedFor("piped")).bytes(CHUNK * 5));
  put(to, data, CHUNK);
  expect(stream.fillFromPipe(from)).toBe(CHUNK);
  pair.settle();
  // Only now is it known that payloads are wanted in a pipe.
  expect(stream.fillFromPipe(from)).toBe(CHUNK);
  pair.settle();
  expect(stream.fill((address, max) => read(from, address, Math.min(max, 1000)))).toBe(1000);
  pair.settle();
  // As many pages as before, the first of which is not whole.
  const third = stream.fillFromPipe(from) ?? -1;
  expect(third).toBeGreaterThan(CHUNK / 2);
  pair.settle();
  expect(taker.piped).toBe(CHUNK);
  taker.takesPipes = false;
  const fourth = stream.fillFromPipe(from) ?? -1;
  expect(fourth).toBeGreaterThan(CHUNK / 2);
  pair.settle();
  expect(taker.bytes.equals(data.subarray(0, CHUNK * 2 + 1000 + third + fourth))).toBe(true);
});

test("a peer that takes wide payloads gets them, also where nobody wants them in a pipe", () => {
  const { stream, taker } = start(STREAM_SPLICED_MAX);
  const [from, to] = pipe();
  const data = Buffer.from(random(seedFor("piped wide")).bytes(STREAM_SPLICED_MAX * 3));
  put(to, data, CHUNK);
  for (const wanted of [true, true, false]) {
    taker.takesPipes = wanted;
    expect(stream.fillFromPipe(from)).toBe(STREAM_SPLICED_MAX);
    pair.settle();
    pair.server.resumable.acknowledge();
    pair.settle();
  }
  expect(taker.piped).toBe(STREAM_SPLICED_MAX);
  expect(taker.bytes.equals(data)).toBe(true);
});

test("one that cannot be sent whole keeps the next one waiting", () => {
  const { stream } = start();
  const [from, to] = pipe();
  put(to, Buffer.alloc(1 << 20, 5), CHUNK);
  let sent = 0;
  for (let got: number | undefined; ; sent += got) {
    got = stream.fillFromPipe(from);
    if (got === undefined || got <= 0) break;
  }
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeLessThan(1 << 20);
  expect(stream.fill(() => 1)).toBeUndefined();
  pair.settle();
  expect(ok(stream.fillFromPipe(from) ?? -1)).toBeGreaterThan(0);
});

test("a payload in more parts than a pipe has places for comes all the same", () => {
  const { stream, taker } = start();
  const [from, to] = pipe();
  const data = Buffer.from(random(seedFor("piped parts")).bytes(CHUNK * 2));
  put(to, data, CHUNK);
  stream.fillFromPipe(from);
  pair.settle();
  stream.fillFromPipe(from);
  pair.serve(pair.client);
  for (let i = 0; i < 3000; i++) {
    pair.move(i < 1000 ? 11 : 60);
    pair.serve(pair.server);
  }
  pair.settle();
  expect(taker.bytes.equals(data)).toBe(true);
});

test("cut again and again: all comes once", () => {
  const rng = random(seedFor("piped cuts"));
  const { stream, taker } = start();
  const [from, to] = pipe();
  const data = Buffer.from(rng.bytes(6 << 20));
  let written = 0;
  let spliced = 0;
  let cuts = 0;
  for (let i = 0; i < 20_000 && taker.bytes.length < data.length; i++) {
    const piece = 1 + rng.below(2) * 4095 + rng.below(CHUNK);
    written += put(to, data.subarray(written, written + 4 * piece), piece);
    const got = rng.below(6) > 0 ? stream.fillFromPipe(from) : undefined;
    if (got !== undefined && got > 0) spliced += got;
    else stream.fill((address, max) => read(from, address, max));
    pair.move(rng.below(200_000), rng.below(2));
    if (rng.below(4) > 0) pair.serve(pair.server);
    if (rng.below(4) > 0) pair.serve(pair.client);
    if (rng.below(5) === 0) pair.server.resumable.acknowledge();
    taker.takesPipes = rng.below(8) > 0;
    if (rng.below(12) !== 0) continue;
    cuts++;
    pair.cut();
    pair.splicedMax = rng.below(2) === 0 ? CHUNK : STREAM_SPLICED_MAX;
    if (rng.below(3) === 0) stream.fill((address, max) => read(from, address, max));
    pair.join(rng.below(2) === 0 ? 1 : 1 << 20);
  }
  expect(taker.bytes.equals(data)).toBe(true);
  expect(cuts).toBeGreaterThan(10);
  expect(spliced).toBeGreaterThan(1 << 20);
  expect(taker.piped).toBeGreaterThan(CHUNK);
});
