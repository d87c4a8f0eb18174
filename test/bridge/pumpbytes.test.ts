/** Byte pumps: what goes in at one end comes out at the other, and so does each kind of end. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { BytePump, Shape } from "../../src/bridge/pumpbytes.ts";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { SHUT_RD, SHUT_WR, shutdown } from "../../src/sys/socket.ts";
import { STREAM_WINDOW } from "../../src/wire/limits.ts";
import { BridgePair, get, pattern, pipe, put, sockets } from "./pair.ts";

let pair: BridgePair;
let before: number;
const openFds = () => readdirSync("/proc/self/fd").length;

beforeEach(() => {
  before = openFds();
  pair = new BridgePair();
});

afterEach(() => {
  pair.close();
  expect(openFds()).toBe(before);
});

/** Two programs joined by two pumps: their ends, and the pumps. */
function joined() {
  const [a, fdA] = sockets();
  const [b, fdB] = sockets();
  const ends: number[] = [];
  const pump = (fd: number) =>
    new BytePump({ loop: pair.loop, fd, shape: Shape.SOCKET, ended: (e) => ends.push(e) });
  const [here, there] = [pump(fdA), pump(fdB)];
  pair.join(here, there);
  return { a, b, here, there, ends };
}

/** Moves `data` from `from` to `to` through the pumps. */
function carry(from: number, to: number, data: Buffer): Buffer {
  const got: Buffer[] = [];
  let [sent, have] = [0, 0];
  pair.until(() => {
    const n = sent < data.length ? put(from, data.subarray(sent, sent + 100_000)) : 0;
    if (n > 0) sent += n;
    const part = get(to);
    if (typeof part !== "number") {
      got.push(part);
      have += part.length;
    }
    return have === data.length;
  });
  return Buffer.concat(got);
}

describe("two sockets", () => {
  test("carry bytes both ways, more than a window of them", () => {
    const { a, b, here } = joined();
    const data = pattern(5 * STREAM_WINDOW + 3);
    expect(carry(a, b, data).equals(data)).toBe(true);
    expect(carry(b, a, data).equals(data)).toBe(true);
    expect(here.figures.read).toBe(data.length);
    expect(here.figures.written).toBe(data.length);
    close(a);
    close(b);
    pair.settle();
  });

  test("end each way by itself", () => {
    const { a, b, ends } = joined();
    put(a, Buffer.from("last words"));
    shutdown(a, SHUT_WR);
    pair.settle();
    expect(String(get(b))).toBe("last words");
    expect(get(b)).toBe(0);
    expect(put(b, Buffer.from("answer"))).toBe(6);
    pair.settle();
    expect(String(get(a))).toBe("answer");
    expect(get(a)).toBe(-E.EAGAIN);
    close(b);
    pair.settle();
    expect(get(a)).toBe(0);
    expect(ends).toEqual([0, 0]);
    close(a);
  });

  test("a closed one makes the other's writer fail at once, and its reader read to the end", () => {
    const { a, b, ends } = joined();
    put(a, Buffer.from("last words"));
    close(a);
    pair.settle();
    expect(put(b, Buffer.from("x"))).toBe(-E.EPIPE);
    expect(String(get(b))).toBe("last words");
    expect(get(b)).toBe(0);
    expect(ends).toEqual([0, 0]);
    close(b);
  });

  test("who reads no more goes on writing", () => {
    const { a, b } = joined();
    shutdown(a, SHUT_RD);
    put(b, Buffer.from("lost"));
    pair.settle();
    expect(put(b, Buffer.from("x"))).toBe(-E.EPIPE);
    put(a, Buffer.from("still here"));
    pair.settle();
    expect(String(get(b))).toBe("still here");
    close(a);
    close(b);
    pair.settle();
  });

  test("one that is closed with unread data resets both", () => {
    const { a, b, ends } = joined();
    put(b, Buffer.from("unread"));
    pair.settle();
    close(a);
    pair.settle();
    expect(ends).toEqual([E.ECONNRESET, E.ECONNRESET]);
    expect(put(b, Buffer.from("x"))).toBe(-E.EPIPE);
    close(b);
  });

  test("what a slow reader has not taken comes after the writer has gone", () => {
    const { a, b } = joined();
    const data = pattern(2 * STREAM_WINDOW + 500_000);
    let sent = 0;
    for (let still = 0; still < 5; ) {
      const n = put(a, data.subarray(sent, sent + 50_000));
      if (n > 0) sent += n;
      else still++;
      pair.settle();
    }
    expect(sent).toBeGreaterThan(STREAM_WINDOW);
    expect(sent).toBeLessThan(data.length);
    close(a);
    pair.settle();
    const got: Buffer[] = [];
    pair.until(() => {
      const part = get(b, 10_000);
      if (typeof part !== "number") got.push(part);
      return part === 0;
    });
    expect(Buffer.concat(got).equals(data.subarray(0, sent))).toBe(true);
    close(b);
    pair.settle();
  });

  test("readers that stall hold up nobody else", () => {
    const stalled = Array.from({ length: 5 }, () => joined());
    for (const { a } of stalled) {
      for (let still = 0; still < 3; pair.settle()) {
        if (put(a, pattern(100_000)) <= 0) still++;
      }
    }
    const fast = joined();
    const data = pattern(10 * STREAM_WINDOW);
    expect(carry(fast.a, fast.b, data).equals(data)).toBe(true);
    for (const { a, b } of [...stalled, fast]) {
      close(a);
      close(b);
    }
    pair.settle();
  });

  test("a lost connection ends both", () => {
    const { a, b, ends } = joined();
    pair.client.close(E.ECONNRESET);
    pair.settle();
    expect([get(a), get(b)]).toEqual([0, 0]);
    expect(ends).toEqual([E.ECONNRESET, E.ECONNRESET]);
    close(a);
    close(b);
  });

  test("nothing turns while nobody has anything to do", () => {
    const { a, b } = joined();
    while (put(a, pattern(100_000)) > 0) pair.settle();
    close(a);
    pair.settle();
    let turns = 0;
    const start = pair.loop.nowMs;
    while (pair.loop.nowMs - start < 200) {
      if (pair.loop.turn(50)) turns++;
    }
    expect(turns).toBeLessThan(3);
    close(b);
    pair.settle();
  });
});

describe("pipes", () => {
  function joinedPipes() {
    const [sourceRead, sourceWrite] = pipe();
    const [sinkRead, sinkWrite] = pipe();
    const ends: number[] = [];
    const ended = (errno: number) => ends.push(errno);
    const { loop } = pair;
    pair.join(
      new BytePump({ loop, fd: sourceRead, shape: Shape.READ_END, ended }),
      new BytePump({ loop, fd: sinkWrite, shape: Shape.WRITE_END, ended }),
    );
    return { writer: sourceWrite, reader: sinkRead, ends };
  }

  test("carry bytes and their end", () => {
    const { writer, reader, ends } = joinedPipes();
    const data = pattern(3 * STREAM_WINDOW);
    expect(carry(writer, reader, data).equals(data)).toBe(true);
    expect(get(reader)).toBe(-E.EAGAIN);
    close(writer);
    pair.settle();
    expect(get(reader)).toBe(0);
    expect(ends).toEqual([0, 0]);
    close(reader);
  });

  test("a writer without readers gets EPIPE without having written", () => {
    const { writer, reader, ends } = joinedPipes();
    close(reader);
    pair.settle();
    expect(put(writer, Buffer.from("x"))).toBe(-E.EPIPE);
    expect(ends).toEqual([E.EPIPE, E.EPIPE]);
    close(writer);
  });
});
