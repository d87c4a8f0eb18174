/** Streams over connections that end: nothing is lost, nothing comes twice, and nothing is believed. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Stream } from "../../src/session/stream.ts";
import { E } from "../../src/sys/errno.ts";
import { SOCK_STREAM, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { ProtocolError } from "../../src/wire/error.ts";
import { Kind } from "../../src/wire/frame.ts";
import { UNACKNOWLEDGED_MAX } from "../../src/wire/limits.ts";
import { type Random, random, seedFor } from "../support/random.ts";
import { Recorder } from "./pair.ts";
import { ResumablePair } from "./resumablepair.ts";

const NOTHING = new Uint8Array();
const SMALL_RING = 256 * 1024;

let pair: ResumablePair;
afterEach(() => pair.close());

/** Sends all of `bytes` as far as it goes, and the rest when it can; then ends if `ends`. */
class Sender extends Recorder {
  readonly #parts: Buffer[] = [];
  #ends = false;

  say(stream: Stream, bytes: Buffer): void {
    this.#parts.push(bytes);
    this.onWritable(stream);
  }

  finish(stream: Stream): void {
    this.#ends = true;
    this.onWritable(stream);
  }

  override onWritable(stream: Stream): void {
    for (let part = this.#parts[0]; part !== undefined; part = this.#parts[0]) {
      const sent = stream.send(part);
      if (sent < 0) return;
      if (sent < part.length) {
        this.#parts[0] = part.subarray(sent);
        return;
      }
      this.#parts.shift();
    }
    if (this.#ends) stream.end();
  }
}

/** What a stream's handler heard, with pieces of data joined: how they come depends on the cut. */
function story({ log }: Recorder): string[] {
  const joined: string[] = [];
  for (const line of log) {
    const last = joined.at(-1);
    if (line.startsWith("data") && last?.startsWith("data")) {
      joined[joined.length - 1] = `data ${Number(last.slice(5)) + Number(line.slice(5))}`;
    } else joined.push(line);
  }
  return joined;
}

interface Outcome {
  sent: Buffer[];
  received: Buffer[];
  stories: string[][];
}

/**
 * A conversation over a few streams both ways, of `rounds` steps from `rng`, during which
 * the connection is cut once it has moved `cutAt` bytes; all that came in the end.
 */
function converse(rng: Random, rounds: number, cutAt: number): Outcome {
  const far: Sender[] = [];
  const farStreams: Stream[] = [];
  pair = new ResumablePair(SMALL_RING, (stream) => {
    const sender = new Sender();
    far.push(sender);
    farStreams.push(stream);
    return sender;
  });
  pair.join();
  const near: Sender[] = [];
  const nearStreams: Stream[] = [];
  const sent: Buffer[][] = [];
  let cut = false;
  const step = (max: number) => {
    const room = cut ? max : Math.min(max, cutAt - pair.moved);
    pair.move(room, rng.below(2));
    if (!cut && pair.moved >= cutAt) {
      cut = true;
      pair.cut();
      pair.join();
    }
    pair.serve(pair.client);
    pair.serve(pair.server);
  };
  for (let round = 0; round < rounds; round++) {
    const which = rng.below(4);
    const stream = nearStreams[which];
    if (stream === undefined && nearStreams.length < 4) {
      const sender = new Sender();
      const opened = pair.client.streams.open(7, Buffer.from(`to ${near.length}`), sender);
      if (opened === undefined) throw new Error("cannot open a stream");
      near.push(sender);
      nearStreams.push(opened);
      sent.push([], []);
    } else if (stream !== undefined) {
      const bytes = Buffer.from(rng.bytes(1 + rng.below(40)));
      const other = farStreams[which];
      if (rng.below(2) === 0 || other === undefined) {
        near[which]?.say(stream, bytes);
        sent[2 * which]?.push(bytes);
      } else if (rng.below(5) === 0) {
        other.sendOutOfBand(3, bytes.subarray(0, 4));
      } else {
        far[which]?.say(other, bytes);
        sent[2 * which + 1]?.push(bytes);
      }
    }
    step(1 + rng.below(200));
  }
  for (const [i, stream] of nearStreams.entries()) near[i]?.finish(stream);
  for (let i = 0; i < 40; i++) step(1 << 16);
  for (const [i, stream] of farStreams.entries()) far[i]?.finish(stream);
  for (let i = 0; i < 40; i++) step(1 << 16);
  return {
    sent: sent.map((parts) => Buffer.concat(parts)),
    received: near.flatMap((one, i) => [far[i]?.bytes ?? Buffer.alloc(0), one.bytes]),
    stories: [...near, ...far].map(story),
  };
}

test("cut at every byte of a conversation: all comes once, in both directions", () => {
  const seed = seedFor("resumable");
  const whole = converse(random(seed), 60, Number.POSITIVE_INFINITY);
  const total = pair.moved;
  pair.close();
  expect(total).toBeGreaterThan(1500);
  expect(whole.received).toEqual(whole.sent);
  expect(whole.stories.every((lines) => lines.at(-1) === "closed")).toBe(true);
  for (let cutAt = 1; cutAt <= total; cutAt++) {
    const outcome = converse(random(seed), 60, cutAt);
    const same =
      outcome.received.length === outcome.sent.length &&
      outcome.received.every((bytes, i) => bytes.equals(outcome.sent[i] as Buffer));
    if (!same) throw new Error(`cut after ${cutAt} bytes of seed ${seed}: other bytes arrive`);
    if (!outcome.stories.every((lines) => lines.at(-1) === "closed")) {
      throw new Error(`cut after ${cutAt} bytes of seed ${seed}: a stream has no end`);
    }
    pair.close();
  }
});

test("cut again and again while much is sent both ways", () => {
  const rng = random(seedFor("resumable bulk"));
  const far: Sender[] = [];
  const farStreams: Stream[] = [];
  pair = new ResumablePair(SMALL_RING, (stream) => {
    far.push(new Sender());
    farStreams.push(stream);
    return far.at(-1) as Sender;
  });
  pair.join(1);
  const near = new Sender();
  const stream = pair.client.streams.open(1, NOTHING, near);
  if (stream === undefined) throw new Error("cannot open a stream");
  const there = Buffer.from(rng.bytes(3 << 20));
  const back = Buffer.from(rng.bytes(3 << 20));
  near.say(stream, there);
  near.finish(stream);
  let cuts = 0;
  for (let i = 0; i < 5000 && !(near.closed && far[0]?.closed); i++) {
    pair.serve(pair.client);
    pair.serve(pair.server);
    if (i === 20) {
      far[0]?.say(farStreams[0] as Stream, back);
      far[0]?.finish(farStreams[0] as Stream);
    }
    pair.move(rng.below(200_000), rng.below(2));
    if (rng.below(8) !== 0) continue;
    cuts++;
    pair.cut();
    if (rng.below(3) === 0) pair.client.streams.flush();
    pair.join(1);
  }
  expect(cuts).toBeGreaterThan(10);
  expect([near.closed, far[0]?.closed]).toEqual([true, true]);
  expect(far[0]?.bytes.equals(there)).toBe(true);
  expect(near.bytes.equals(back)).toBe(true);
  expect(pair.client.resumable.taken).toBeGreaterThan(40);
});

describe("without a connection", () => {
  test("what is sent waits, within the bound, and the streams stall", () => {
    pair = new ResumablePair();
    const senders = Array.from({ length: 64 }, () => new Sender());
    const data = Buffer.alloc(1 << 20, 7);
    const streams = senders.map((sender) => pair.client.streams.open(1, NOTHING, sender));
    streams.forEach((stream, i) => {
      if (stream !== undefined) senders[i]?.say(stream, data);
    });
    expect(pair.client.resumable.congested).toBe(true);
    expect(pair.client.resumable.unacknowledged).toBeLessThan(1 << 20);
    pair.join();
    pair.settle();
    expect(pair.accepted.length).toBe(streams.length);
    expect(pair.accepted.every((one) => one.bytes.equals(data))).toBe(true);
  });

  test("a ring that is full of what nobody acknowledges is congested, and goes on after that", () => {
    pair = new ResumablePair(SMALL_RING);
    pair.join();
    const sender = new Sender();
    const stream = pair.client.streams.open(1, NOTHING, sender) as Stream;
    sender.say(stream, Buffer.alloc(240 * 1024, 1));
    // Sent whole, taken in by nobody.
    pair.client.resumable.flush();
    expect(pair.client.resumable.pending).toBe(false);
    expect(pair.client.resumable.congested).toBe(true);
    expect(pair.client.streams.open(1, NOTHING, new Recorder())).toBeUndefined();
    for (let i = 0; i < 2; i++) {
      pair.settle();
      pair.server.resumable.acknowledge();
    }
    pair.settle();
    expect(pair.accepted[0]?.bytes.length).toBe(240 * 1024);
    expect(pair.client.resumable.congested).toBe(false);
    expect(pair.client.resumable.unacknowledged).toBe(0);
  });

  test("what was taken in is acknowledged before there is no room, without being asked", () => {
    pair = new ResumablePair();
    pair.join();
    const sender = new Sender();
    const stream = pair.client.streams.open(1, NOTHING, sender) as Stream;
    const data = Buffer.alloc(3 * UNACKNOWLEDGED_MAX, 5);
    sender.say(stream, data);
    pair.settle();
    expect(pair.accepted[0]?.bytes.equals(data)).toBe(true);
    expect(pair.client.resumable.unacknowledged).toBeLessThan(512 * 1024);
  });
});

test("one stalled stream of a thousand delays no other", () => {
  pair = new ResumablePair(undefined, () => {
    const recorder = new Recorder(pair.accepted.length > 0);
    pair.accepted.push(recorder);
    return recorder;
  });
  pair.join();
  const data = Buffer.alloc(400 * 1024, 3);
  const senders = Array.from({ length: 1000 }, () => new Sender());
  for (const [i, sender] of senders.entries()) {
    let stream = pair.client.streams.open(1, NOTHING, sender);
    while (stream === undefined) {
      pair.settle();
      stream = pair.client.streams.open(1, NOTHING, sender);
    }
    sender.say(stream, i === 0 ? data : data.subarray(0, 2000));
  }
  pair.settle();
  expect(pair.accepted.length).toBe(1000);
  expect(pair.accepted[0]?.bytes.length).toBe(256 * 1024);
  expect(pair.accepted.slice(1).every((one) => one.bytes.length === 2000)).toBe(true);
});

test("an end that is closed for good ends all streams, and takes frames that go nowhere", () => {
  pair = new ResumablePair();
  pair.join();
  const sender = new Sender();
  const stream = pair.client.streams.open(1, NOTHING, sender) as Stream;
  pair.client.resumable.close();
  expect(pair.client.resumable.congested).toBe(false);
  stream.send(Buffer.alloc(100_000));
  pair.client.streams.close(E.ECONNRESET);
  expect(sender.resetWith).toBe(E.ECONNRESET);
  expect(pair.client.resumable.flush()).toBe(false);
});

describe("what the peer must not do", () => {
  /** A resumable end and the bare transport of whoever lies to it. */
  function liar(): SocketTransport {
    pair = new ResumablePair();
    const fds = socketPair(SOCK_STREAM);
    if (typeof fds === "number") throw new Error("socketpair");
    pair.client.resumable.attach(new SocketTransport(fds[0], { description: "liar" }), 0);
    for (let i = 0; i < 3; i++) pair.client.streams.open(1, NOTHING, new Recorder());
    pair.client.resumable.flush();
    return new SocketTransport(fds[1], { description: "lied to" });
  }

  function acknowledges(transport: SocketTransport, items: readonly number[]): void {
    const w = transport.begin(Kind.ACK);
    w.array(items.length);
    for (const item of items) w.uint(item);
    transport.end();
    transport.flush();
  }

  test.each([
    ["more frames than were sent", [[4]]],
    ["no frame", [[0]]],
    ["the same frames twice", [[2], [2]]],
    ["fewer frames than before", [[2], [1]]],
    ["frames without a number", [[]]],
    ["frames with two numbers", [[1, 1]]],
    ["2^53 - 1 frames", [[Number.MAX_SAFE_INTEGER]]],
  ] as const)("acknowledge %s", (_, lists) => {
    const transport = liar();
    for (const items of lists) acknowledges(transport, items);
    expect(() => pair.serve(pair.client)).toThrow(ProtocolError);
    transport.close();
    transport.release();
  });

  test("resume after more frames than there were, or fewer than were acknowledged", () => {
    const transport = liar();
    acknowledges(transport, [2]);
    pair.serve(pair.client);
    const resume = (count: number) => {
      const nobody = SocketTransport.closed();
      try {
        pair.client.resumable.attach(nobody, count);
      } finally {
        nobody.release();
      }
    };
    expect(() => resume(1)).toThrow(ProtocolError);
    expect(() => resume(4)).toThrow(ProtocolError);
    // The connection it had is none the worse for it.
    acknowledges(transport, [3]);
    pair.serve(pair.client);
    expect(pair.client.resumable.unacknowledged).toBe(0);
    transport.close();
    transport.release();
  });
});
