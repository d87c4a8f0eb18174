/** An end of a bridge session by itself, with a peer that says what the test wants. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { encode } from "cbor-x/encode";
import { BridgeEnd, type BridgeOwner } from "../../src/bridge/end.ts";
import { Loop } from "../../src/bridge/loop.ts";
import { E } from "../../src/sys/errno.ts";
import { SOCK_STREAM, socketPair } from "../../src/sys/socket.ts";
import { SocketTransport } from "../../src/transport/socket.ts";
import { Goodbye } from "../../src/wire/constants.ts";
import { ProtocolError } from "../../src/wire/error.ts";
import { Kind } from "../../src/wire/frame.ts";
import { StreamKind, StreamMessage } from "../../src/wire/streams.ts";
import { Recorder } from "../session/pair.ts";
import { okPair } from "../sys/support.ts";
import { turnUntil } from "./program.ts";

class Owner implements BridgeOwner {
  disconnections = 0;
  readonly goodbyes: [number, string][] = [];
  readonly failures: unknown[] = [];

  disconnected(): void {
    this.disconnections++;
  }

  goodbye(code: number, reason: string): void {
    this.goodbyes.push([code, reason]);
  }

  failed(error: unknown): void {
    this.failures.push(error);
  }
}

let loop: Loop;
let owner: Owner;
let end: BridgeEnd;
let peer: SocketTransport;

/** Gives the end a connection, whose other end is `peer`. */
function connect(taken = 0): void {
  const [near, far] = okPair(socketPair(SOCK_STREAM));
  peer = new SocketTransport(far, { description: "the end under test" });
  end.connect(new SocketTransport(near, { description: "the test" }), taken);
}

/** Says a frame as the peer. */
function say(kind: number, items: readonly (number | string)[], payload?: Uint8Array): void {
  const w = peer.begin(kind);
  w.array(items.length);
  for (const item of items) {
    if (typeof item === "number") w.uint(item);
    else w.latin1(item);
  }
  if (payload === undefined) peer.end();
  else peer.endCopy(payload, payload.length);
  peer.flush();
}

/** Kinds of the frames that have come from the end. */
function heard(): number[] {
  peer.receive();
  const kinds: number[] = [];
  while (peer.next()) kinds.push(peer.kind);
  return kinds;
}

beforeEach(() => {
  loop = new Loop();
  owner = new Owner();
  end = new BridgeEnd(loop, "client", owner);
  connect();
});
afterEach(() => {
  end.close(E.ECONNRESET);
  peer.close();
  peer.release();
  loop.close();
});

const settle = () => {
  for (let i = 0; i < 5; i++) loop.turn(1);
};

test("what is taken in is acknowledged, soon and once", () => {
  say(Kind.STREAM, [2, StreamMessage.OPEN, 99], encode([]));
  const kinds: number[] = [];
  turnUntil(
    loop,
    () => {
      kinds.push(...heard());
      return kinds.includes(Kind.ACK);
    },
    "it is acknowledged",
  );
  expect(kinds).toEqual([Kind.STREAM, Kind.ACK]);
  expect(end.taken).toBe(1);
});

test("a peer that acknowledges nothing loses its connection, and nothing else", () => {
  const recorder = new Recorder();
  end.open(StreamKind.CONNECT, [1], recorder);
  const since = loop.nowMs;
  turnUntil(loop, () => owner.disconnections > 0, "the connection is given up");
  expect(loop.nowMs - since).toBeGreaterThan(4000);
  expect([end.connected, end.streams, recorder.closed]).toEqual([false, 1, false]);
  peer.close();
  peer.release();
  connect(0);
  settle();
  expect(heard()).toEqual([Kind.STREAM]);
});

test("GOODBYE is told with its reason", () => {
  say(Kind.GOODBYE, [Goodbye.REFUSED, "for a reason"]);
  turnUntil(loop, () => owner.goodbyes.length > 0, "it is told");
  expect(owner.goodbyes).toEqual([[Goodbye.REFUSED, "for a reason"]]);
  expect([end.connected, owner.disconnections]).toEqual([false, 0]);
});

test("a session that is lost resets its streams; the next one has none of them", () => {
  const recorder = new Recorder();
  end.open(StreamKind.CONNECT, [1], recorder);
  settle();
  end.renew(E.ECONNRESET);
  expect([recorder.resetWith, recorder.closed]).toEqual([E.ECONNRESET, true]);
  peer.close();
  peer.release();
  connect();
  expect([end.taken, end.streams]).toEqual([0, 0]);
  end.open(StreamKind.CONNECT, [1], new Recorder());
  settle();
  heard();
  expect(peer.closed).toBe(false);
  expect(owner.failures).toEqual([]);
});

test("who could not open a stream is told when there is room", () => {
  end.disconnect();
  const description = ["x".repeat(60_000)];
  let opened = 0;
  while (end.open(StreamKind.CONNECT, description, new Recorder()) !== undefined) opened++;
  expect(opened).toBeGreaterThan(3);
  let told = 0;
  end.whenRoom(() => told++);
  settle();
  expect(told).toBe(0);
  peer.close();
  peer.release();
  connect(0);
  turnUntil(
    loop,
    () => {
      peer.receive();
      return told > 0;
    },
    "there is room",
  );
  expect(told).toBe(1);
});

describe("what is held", () => {
  /** A stream that is held, and another one that is not, by their numbers. */
  function two() {
    const [held, passing] = [new Recorder(), new Passing()];
    end.open(StreamKind.CONNECT, [1], held);
    end.open(StreamKind.FIFO, [2], passing);
    settle();
    heard();
    return { held, passing };
  }
  class Passing extends Recorder {
    readonly passes = true;
  }
  const data = (stream: number, text: string) => {
    say(Kind.STREAM, [stream, StreamMessage.DATA], Buffer.from(text));
  };

  test("comes later, and in order; before it comes what passes", () => {
    const { held, passing } = two();
    const letGo = end.hold();
    data(3, "a");
    settle();
    expect([passing.log, held.log]).toEqual([["data 1"], []]);
    data(1, "b");
    data(1, "cd");
    data(3, "e");
    settle();
    expect([passing.log, held.log]).toEqual([["data 1"], []]);
    letGo();
    settle();
    expect([passing.log, held.log]).toEqual([
      ["data 1", "data 1"],
      ["data 1", "data 2"],
    ]);
    data(1, "f");
    settle();
    expect(held.log.length).toBe(3);
  });

  test("comes when nobody lets it go", () => {
    const { held } = two();
    end.hold();
    data(1, "a");
    turnUntil(loop, () => held.log.length > 0, "it comes");
  });

  test("is neither lost nor repeated when the connection ends meanwhile", () => {
    const { held } = two();
    end.hold();
    data(1, "a");
    settle();
    peer.close();
    peer.release();
    turnUntil(loop, () => owner.disconnections > 0, "the end is told");
    expect([held.log, end.taken]).toEqual([["data 1"], 1]);
    connect(2);
    data(1, "bc");
    turnUntil(loop, () => held.log.length > 1, "the next one comes");
    expect([held.log, owner.failures]).toEqual([["data 1", "data 2"], []]);
  });
});

describe("the session fails", () => {
  test.each([
    ["a frame that is not for it", () => say(Kind.EVENT, [1])],
    ["a GOODBYE without a reason", () => say(Kind.GOODBYE, [1])],
    ["a description that is no list", () => say(Kind.STREAM, [2, 0, 1], encode("key"))],
    ["an ACK of nothing", () => say(Kind.ACK, [0])],
  ])("with %s", (_, speak) => {
    speak();
    turnUntil(loop, () => owner.failures.length > 0, "it fails");
    expect(owner.failures[0]).toBeInstanceOf(ProtocolError);
  });

  test("with a connection that resumes where it never was", () => {
    const [near, far] = okPair(socketPair(SOCK_STREAM));
    const other = new SocketTransport(near, { description: "the test" });
    expect(() => end.connect(other, 1)).toThrow(ProtocolError);
    other.close();
    other.release();
    const rest = new SocketTransport(far, { description: "the rest" });
    rest.close();
    rest.release();
  });
});
