/** Multiplexed streams: order, credit, ends, resets, and that nobody waits for another. */
import { afterEach, describe, expect, test } from "bun:test";
import { NOT_WRITABLE, type Stream } from "../../src/session/stream.ts";
import { E } from "../../src/sys/errno.ts";
import { ProtocolError } from "../../src/wire/error.ts";
import { Kind } from "../../src/wire/frame.ts";
import {
  STREAM_CHUNK_MAX,
  STREAM_MESSAGES_MAX,
  STREAM_SPLICED_MAX,
  STREAM_WINDOW,
  STREAMS_MAX,
} from "../../src/wire/limits.ts";
import { StreamMessage } from "../../src/wire/streams.ts";
import { put } from "../support/client.ts";
import { type Random, random, seedFor } from "../support/random.ts";
import { type End, Pair, Recorder } from "./pair.ts";

const NOTHING = new Uint8Array(0);

let pair: Pair;

afterEach(() => pair.close());

/** A stream that is open on both ends: its two Streams and what each end records. */
function opened(eager = true) {
  const here = new Recorder(eager);
  const near = pair.client.streams.open(1, NOTHING, here) as Stream;
  pair.settle();
  const { stream: far, handler: there } = pair.accepted.at(-1) as (typeof pair.accepted)[0];
  return { near, far, here, there };
}

/** Bytes that tell their place. */
function pattern(length: number, salt = 0): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + salt) & 0xff));
}

/** Sends all of `data` on `stream` as it becomes possible, then ends it. */
function pour(stream: Stream, recorder: Recorder, data: Buffer, step: () => number): void {
  let at = 0;
  const go = () => {
    while (at < data.length) {
      const part = data.subarray(at, at + step());
      const taken = stream.send(part);
      if (taken === NOT_WRITABLE) return;
      at += taken;
      if (taken < part.length) return;
    }
    stream.end();
  };
  recorder.writable = go;
  go();
}

describe("one stream", () => {
  test("is opened with a kind and a description, and numbered by who opens it", () => {
    pair = new Pair();
    const ids = [1, 2, 3].map((kind) => {
      return pair.client.streams.open(kind, Buffer.from(`what ${kind}`), new Recorder())?.id;
    });
    const ofServer = [1, 2].map(() => pair.server.streams.open(9, NOTHING, new Recorder())?.id);
    pair.settle();
    expect([ids, ofServer]).toEqual([
      [1, 3, 5],
      [2, 4],
    ]);
    expect(pair.accepted.map((a) => [a.stream.id, a.kind, a.description])).toEqual([
      [1, 1, "what 1"],
      [3, 2, "what 2"],
      [5, 3, "what 3"],
    ]);
  });

  test("carries bytes both ways, more than a window of them", () => {
    pair = new Pair();
    const { near, far, here, there } = opened();
    const [up, down] = [pattern(3 * STREAM_WINDOW + 17), pattern(2 * STREAM_WINDOW + 3, 5)];
    pour(near, here, up, () => 10_000);
    pour(far, there, down, () => 77_777);
    pair.settle();
    expect(there.bytes.equals(up) && here.bytes.equals(down)).toBe(true);
    expect([here.eof, there.eof, here.closed, there.closed]).toEqual([true, true, true, true]);
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
  });

  test("takes bytes straight from where they are read to", () => {
    pair = new Pair();
    const { near, there } = opened();
    const { bytes } = pair.client.transport.reader;
    expect(near.fill(() => 0)).toBe(0);
    expect(near.fill(() => -E.EAGAIN)).toBe(-E.EAGAIN);
    let offered = 0;
    const take = (_: number, max: number) => {
      offered = max;
      return 500;
    };
    expect(near.fill(take)).toBe(500);
    expect(offered).toBe(STREAM_CHUNK_MAX);
    pair.settle();
    expect(there.bytes.length).toBe(500);
    expect(bytes.length).toBeGreaterThan(0);
    while ((near.fill((_, max) => max) ?? 0) > 0) pair.client.transport.flush();
    expect(near.fill(() => 1)).toBeUndefined();
  });

  test("half-closes each way by itself", () => {
    pair = new Pair();
    const { near, far, here, there } = opened();
    near.end();
    pair.settle();
    expect([there.eof, here.eof, near.writable, far.writable]).toEqual([true, false, false, true]);
    expect(near.send(Buffer.from("late"))).toBe(NOT_WRITABLE);
    expect(far.send(Buffer.from("still here"))).toBe(10);
    far.end();
    pair.settle();
    expect(String(here.bytes)).toBe("still here");
    expect(here.log).toEqual(["data 10", "eof", "closed"]);
    expect(there.log).toEqual(["eof", "closed"]);
  });

  test("keeps messages beside the data in their place, also after its end", () => {
    pair = new Pair();
    const { near, far, here, there } = opened();
    near.send(Buffer.from("one"));
    expect(near.sendOutOfBand(7, Buffer.from("beside"))).toBe(true);
    near.send(Buffer.from("three"));
    near.end();
    expect(near.sendOutOfBand(8, NOTHING)).toBe(true);
    pair.settle();
    expect(there.log).toEqual(["data 3", "message 7 beside", "data 5", "eof", "message 8 "]);
    far.reset(E.EPIPE);
    pair.settle();
    expect(near.sendOutOfBand(8, NOTHING)).toBe(true);
    expect(here.log).toEqual([`reset ${E.EPIPE}`, "closed"]);
  });

  test("is refused with an errno", () => {
    pair = new Pair(() => E.ECONNREFUSED);
    const here = new Recorder();
    const stream = pair.client.streams.open(1, NOTHING, here) as Stream;
    stream.send(Buffer.from("hopeful"));
    pair.settle();
    expect(here.log).toEqual([`reset ${E.ECONNREFUSED}`, "closed"]);
    expect(stream.send(Buffer.from("x"))).toBe(NOT_WRITABLE);
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
  });

  test("is reset in the middle of its data, and what was under way is dropped", () => {
    pair = new Pair();
    const { near, far, here, there } = opened();
    pour(near, here, pattern(STREAM_WINDOW), () => 50_000);
    pair.serve(pair.client);
    pair.serve(pair.server);
    far.reset(E.EIO);
    const soFar = there.bytes.length;
    pair.settle();
    expect(soFar).toBeLessThan(STREAM_WINDOW);
    expect(there.bytes.length).toBe(soFar);
    expect(there.log.at(-1)).not.toBe("closed");
    expect(here.log).toEqual([`reset ${E.EIO}`, "closed"]);
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
  });

  test("may be reset by both ends at once, and after either has ended", () => {
    pair = new Pair();
    for (const prepare of [
      () => {},
      (near: Stream) => near.end(),
      (_: Stream, far: Stream) => far.end(),
      (near: Stream, far: Stream) => [near, far].map((s) => s.end()),
    ]) {
      for (const settles of [false, true]) {
        for (const who of [[0], [1], [0, 1]]) {
          const { near, far } = opened();
          prepare(near, far);
          if (settles) pair.settle();
          for (const i of who) [near, far][i]?.reset(E.ECONNRESET);
          pair.settle();
          expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
        }
      }
    }
  });

  test("ends with its connection", () => {
    pair = new Pair();
    const { near, here } = opened();
    pair.client.streams.close(E.ENOTCONN);
    expect(here.log).toEqual([`reset ${E.ENOTCONN}`, "closed"]);
    expect(near.send(Buffer.from("x"))).toBe(NOT_WRITABLE);
    expect(pair.client.streams.size).toBe(0);
    near.end();
    near.reset(1);
    near.consumed(0);
  });

  test("says so when more is consumed than came", () => {
    pair = new Pair();
    const { near } = opened();
    expect(() => near.consumed(1)).toThrow(RangeError);
    expect(() => near.consumed(0, 1)).toThrow(RangeError);
  });
});

describe("credit", () => {
  test("stops a sender after a window and lets it go on when the reader does", () => {
    pair = new Pair();
    const here = new Recorder();
    const reader = new Recorder(false);
    pair = new Pair(() => reader);
    const near = pair.client.streams.open(1, NOTHING, here) as Stream;
    const data = pattern(STREAM_WINDOW + 1000);
    let at = 0;
    let called = 0;
    here.writable = () => {
      called++;
      const taken = near.send(data.subarray(at));
      at += Math.max(taken, 0);
    };
    here.writable(near);
    pair.settle();
    expect(reader.bytes.length).toBe(STREAM_WINDOW);
    expect(near.credit).toBe(0);
    const before = called;
    pair.settle();
    expect(called).toBe(before);
    const far = [...reader.log].length;
    expect(far).toBeGreaterThan(0);
  });

  test("of messages does not depend on that of data", () => {
    const reader = new Recorder(false);
    pair = new Pair(() => reader);
    const near = pair.client.streams.open(1, NOTHING, new Recorder()) as Stream;
    while (near.send(pattern(STREAM_CHUNK_MAX)) > 0) pair.settle();
    for (let i = 0; i < STREAM_MESSAGES_MAX; i++) {
      expect(near.sendOutOfBand(i, NOTHING)).toBe(true);
    }
    expect(near.sendOutOfBand(99, NOTHING)).toBe(false);
    pair.settle();
    expect(reader.log.filter((line) => line.startsWith("message")).length).toBe(
      STREAM_MESSAGES_MAX,
    );
  });

  test("that is spent by several streams makes none of them try again until there is more", () => {
    const readers: { stream: Stream; held: number }[] = [];
    pair = new Pair((stream) => {
      readers.push({ stream, held: 0 });
      return new Recorder(false);
    });
    const calls = [0, 0, 0];
    const streams = calls.map((_, i) => {
      const here = new Recorder();
      here.writable = (stream) => {
        calls[i] = (calls[i] as number) + 1;
        stream.send(pattern(STREAM_WINDOW));
        stream.sendOutOfBand(1, NOTHING);
      };
      return pair.client.streams.open(1, NOTHING, here) as Stream;
    });
    for (const stream of streams) {
      while (stream.credit > 0 || stream.messageCredit > 0) {
        stream.send(pattern(STREAM_WINDOW));
        stream.sendOutOfBand(1, NOTHING);
        pair.settle();
      }
      stream.sendOutOfBand(1, NOTHING);
    }
    expect(streams.map((s) => [s.credit, s.messageCredit])).toEqual(streams.map(() => [0, 0]));
    const before = [...calls];
    pair.settle();
    expect(calls).toEqual(before);
    for (const { stream } of readers) stream.consumed(STREAM_WINDOW);
    pair.settle();
    expect(calls.every((count, i) => count > (before[i] as number))).toBe(true);
  });

  test("comes back in the end to what it was", () => {
    pair = new Pair();
    const { near, far, here, there } = opened();
    pour(near, here, pattern(5 * STREAM_WINDOW), () => 1 + (STREAM_WINDOW >> 3));
    pair.settle();
    expect(there.bytes.length).toBe(5 * STREAM_WINDOW);
    expect(far.held).toBe(0);
    expect(near.credit + far.freed).toBe(STREAM_WINDOW);
  });
});

const SEED = seedFor("streams");

/** Both directions of a stream with random data, and what must arrive. */
function busyStream(rng: Random, index: number) {
  const here = new Recorder();
  const up = pattern(rng.below(rng.chance(0.1) ? 3 * STREAM_WINDOW : 20_000), index);
  const near = pair.client.streams.open(index, Buffer.from(String(index)), here) as Stream;
  const step = () => 1 + rng.below(rng.chance(0.2) ? 100_000 : 3000);
  return { near, here, up, start: () => pour(near, here, up, step) };
}

test(`200 streams with random chunks, one of them stalled, end as they should (${SEED})`, () => {
  const rng = random(SEED);
  const stalled = new Recorder(false);
  const echoes: { recorder: Recorder; stream: Stream; sent: number }[] = [];
  pair = new Pair((stream, kind) => {
    if (kind === 0) return stalled;
    const recorder = new Recorder();
    const echo = { recorder, stream, sent: 0 };
    echoes.push(echo);
    // Sends back what came, as it can.
    recorder.writable = () => {
      const rest = recorder.bytes.subarray(echo.sent);
      const taken = stream.send(rest);
      if (taken > 0) echo.sent += taken;
      if (recorder.eof && echo.sent === recorder.bytes.length) stream.end();
    };
    return recorder;
  });
  const stuck = pair.client.streams.open(0, NOTHING, new Recorder()) as Stream;
  const data = pattern(2 * STREAM_WINDOW);
  let poured = 0;
  const busy = Array.from({ length: 199 }, (_, i) => {
    while (pair.client.transport.congested) pair.serve(pair.client);
    return busyStream(rng, i + 1);
  });
  for (const { start } of busy) start();
  for (let round = 0; pair.client.streams.size > 1 && round < 200_000; round++) {
    poured += Math.max(stuck.send(data.subarray(poured)), 0);
    pair.serve(pair.client, 1 + rng.below(100_000));
    pair.serve(pair.server, 1 + rng.below(100_000));
    for (const { recorder, stream } of echoes) if (stream.writable) recorder.writable(stream);
  }
  expect(pair.client.streams.size).toBe(1);
  for (const { here, up } of busy) {
    expect(here.bytes.equals(up)).toBe(true);
    expect(here.log.at(-1)).toBe("closed");
  }
  while (stuck.credit > 0) {
    poured += Math.max(stuck.send(data.subarray(poured)), 0);
    pair.settle();
  }
  expect(stuck.send(data)).toBe(0);
  pair.settle();
  expect(stalled.bytes.length).toBe(STREAM_WINDOW);
  expect(stalled.bytes.equals(data.subarray(0, STREAM_WINDOW))).toBe(true);
});

test("streams take turns: none that can send waits for others to finish", () => {
  pair = new Pair();
  const many = Array.from({ length: 20 }, (_, i) => {
    const here = new Recorder();
    const near = pair.client.streams.open(i, NOTHING, here) as Stream;
    return { near, here };
  });
  pair.settle();
  const data = pattern(4 * STREAM_WINDOW);
  for (const { near, here } of many) pour(near, here, data, () => 1 << 20);
  while (!pair.accepted.some(({ handler }) => handler.eof)) {
    pair.serve(pair.client);
    pair.serve(pair.server);
  }
  const least = Math.min(...pair.accepted.map(({ handler }) => handler.bytes.length));
  expect(least).toBeGreaterThan(2 * STREAM_WINDOW);
  pair.settle();
  expect(pair.accepted.every(({ handler }) => handler.bytes.equals(data))).toBe(true);
});

test("as many streams as there may be, over and over", () => {
  pair = new Pair(undefined, 1 << 20);
  for (let round = 0; round < 3; round++) {
    const streams: Stream[] = [];
    for (let i = 0; i < STREAMS_MAX; i++) {
      const stream = pair.client.streams.open(1, NOTHING, new Recorder());
      if (stream === undefined) throw new Error(`only ${i} streams`);
      streams.push(stream);
    }
    expect(pair.client.streams.open(1, NOTHING, new Recorder())).toBeUndefined();
    pair.settle();
    expect(pair.server.streams.size).toBe(STREAMS_MAX);
    for (const [i, stream] of streams.entries()) {
      if (i % 2 === 0) stream.reset(E.ECANCELED);
      else stream.end();
    }
    pair.settle();
    for (const { stream } of pair.accepted.splice(0)) stream.end();
    pair.settle();
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
  }
});

describe("what the peer must not do", () => {
  /** Puts a frame on the wire as the client's end, past its Streams. */
  function forge(items: readonly number[], payload?: Uint8Array, from: End = pair.client): void {
    const w = from.transport.begin(Kind.STREAM);
    w.array(items.length);
    for (const item of items) put(w, item);
    if (payload === undefined) from.transport.end();
    else from.transport.endCopy(payload, payload.length);
    from.transport.flush();
  }

  const byte = Buffer.from("x");
  const { OPEN, DATA, CREDIT, EOF, RESET, OUT_OF_BAND } = StreamMessage;

  test.each<[string, [number[], Uint8Array?][]]>([
    ["data for a stream that was never opened", [[[1, DATA], byte]]],
    ["credit for one", [[[5, CREDIT, 1, 0]]]],
    ["a stream of the other side's numbers", [[[2, OPEN, 1]]]],
    ["a number left out", [[[3, OPEN, 1]]]],
    ["stream 0", [[[0, OPEN, 1]]]],
    ["a reset of stream 0", [[[0, RESET, 1]]]],
    ["the same stream twice", [[[1, OPEN, 1]], [[1, OPEN, 1]]]],
    ["an unknown message", [[[1, OPEN, 1]], [[1, 6]]]],
    ["data without bytes", [[[1, OPEN, 1]], [[1, DATA]]]],
    [
      "data in too large a part",
      [[[1, OPEN, 1]], [[1, DATA], Buffer.alloc(STREAM_SPLICED_MAX + 1)]],
    ],
    ["data after the end", [[[1, OPEN, 1]], [[1, EOF]], [[1, DATA], byte]]],
    ["a second end", [[[1, OPEN, 1]], [[1, EOF]], [[1, EOF]]]],
    ["credit above the window", [[[1, OPEN, 1]], [[1, CREDIT, 1, 0]]]],
    ["credit of messages above theirs", [[[1, OPEN, 1]], [[1, CREDIT, 0, 1]]]],
    ["credit of nothing", [[[1, OPEN, 1]], [[1, CREDIT, 0, 0]]]],
    ["an end with a payload", [[[1, OPEN, 1]], [[1, EOF], byte]]],
    ["a message of another length", [[[1, OPEN, 1]], [[1, EOF, 0]]]],
    ["a header of nothing", [[[]]]],
    ["a header of the stream alone", [[[1]]]],
    ["a header with too much", [[[1, OPEN, 1, 2, 3]]]],
    ["data after a reset", [[[1, OPEN, 1]], [[1, RESET, 5]], [[1, DATA], byte]]],
    ["a message beside without a stream", [[[1, OUT_OF_BAND, 1]]]],
  ])("%s", (_, frames) => {
    pair = new Pair();
    for (const [items, payload] of frames) forge(items, payload);
    expect(() => pair.settle()).toThrow(ProtocolError);
  });

  test("more data than its credit", () => {
    pair = new Pair(() => new Recorder(false), 1 << 20);
    forge([1, OPEN, 1]);
    const chunk = Buffer.alloc(STREAM_CHUNK_MAX);
    for (let sent = 0; sent < STREAM_WINDOW; sent += chunk.length) forge([1, DATA], chunk);
    pair.settle();
    forge([1, DATA], byte);
    expect(() => pair.settle()).toThrow("exceeds its credit");
  });

  test("more messages than their credit", () => {
    pair = new Pair(() => new Recorder(false), 1 << 20);
    forge([1, OPEN, 1]);
    for (let i = 0; i < STREAM_MESSAGES_MAX; i++) forge([1, OUT_OF_BAND, 1]);
    pair.settle();
    forge([1, OUT_OF_BAND, 1]);
    expect(() => pair.settle()).toThrow("exceeds its credit of messages");
  });

  test("more streams than there may be", () => {
    pair = new Pair(undefined, 1 << 20);
    for (let i = 0; i < STREAMS_MAX; i++) {
      forge([2 * i + 1, OPEN, 1]);
      if (i % 100 === 0) pair.serve(pair.server);
    }
    while (pair.serve(pair.server)) {}
    forge([2 * STREAMS_MAX + 1, OPEN, 1]);
    expect(() => pair.serve(pair.server)).toThrow("too many streams");
  });

  test("what may cross with the end of a stream is let pass", () => {
    pair = new Pair();
    const { near, far } = opened();
    near.end();
    far.end();
    pair.settle();
    expect(pair.server.streams.size).toBe(0);
    forge([near.id, CREDIT, 1, 0]);
    forge([near.id, OUT_OF_BAND, 1]);
    forge([near.id, RESET, 1]);
    expect(() => pair.settle()).not.toThrow();
    forge([near.id, EOF]);
    expect(() => pair.settle()).toThrow(ProtocolError);
  });

  test(`random messages are served or refused, and nothing else happens (${SEED})`, () => {
    const rng = random(SEED);
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      pair = new Pair(() => new Recorder(rng.chance(0.5)), 1 << 16);
      try {
        for (let i = 0; i < 60; i++) {
          const items = [1 + 2 * rng.below(4), rng.below(7)];
          const wanted = [3, 2, 4, 2, 3, 3, 2][items[1] as number] as number;
          while (items.length < wanted) items.push(rng.below(rng.chance(0.1) ? 2 ** 31 : 5));
          if (rng.chance(0.02)) items.push(1);
          const carries = items[1] === DATA || items[1] === OUT_OF_BAND;
          forge(items, carries ? Buffer.from(rng.bytes(1 + rng.below(500))) : undefined);
          pair.serve(pair.server);
          expect(pair.server.streams.size).toBeLessThanOrEqual(4);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        refused++;
      }
      if (round < 299) pair.close();
    }
    expect(refused).toBeGreaterThan(100);
  });
});

test(`random lives of many streams over a congested connection end closed (${SEED})`, () => {
  const rng = random(SEED);
  for (let round = 0; round < 20; round++) {
    pair = new Pair((stream) => {
      if (rng.chance(0.1)) return E.EACCES;
      const recorder = new Recorder();
      recorder.writable = () => stream.send(pattern(rng.below(5000)));
      lives.push(stream);
      return recorder;
    });
    const lives: Stream[] = [];
    for (let i = 0; i < 400; i++) {
      const stream = rng.chance(0.2)
        ? pair.client.streams.open(1, NOTHING, new Recorder())
        : rng.pick(lives.length > 0 ? lives : [undefined]);
      if (stream === undefined) continue;
      if (!lives.includes(stream)) lives.push(stream);
      const what = rng.below(12);
      if (what < 6) stream.send(pattern(rng.below(30_000)));
      else if (what < 9) stream.sendOutOfBand(what, pattern(rng.below(100)));
      else if (what === 9) stream.end();
      else if (what === 10) stream.reset(E.EIO);
      else pair.serve(rng.pick([pair.client, pair.server]), 1 + rng.below(10_000));
    }
    for (const stream of lives) stream.end();
    pair.settle(() => 1 + rng.below(50_000));
    for (const stream of lives) stream.end();
    pair.settle();
    expect([pair.client.streams.size, pair.server.streams.size]).toEqual([0, 0]);
    if (round < 19) pair.close();
  }
});
