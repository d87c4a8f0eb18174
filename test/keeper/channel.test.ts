import { expect, test } from "bun:test";
import { Channel } from "../../src/keeper/channel.ts";
import { pipe2, read, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { close, F_GETFD, fcntlInt, O_CLOEXEC } from "../../src/sys/open.ts";
import { SOCK_SEQPACKET, socketPair } from "../../src/sys/socket.ts";

interface Numbered {
  n: number;
  text: string;
}

function pair(): [Channel<Numbered, Numbered>, Channel<Numbered, Numbered>] {
  const ends = socketPair(SOCK_SEQPACKET);
  if (typeof ends === "number") throw new Error(`errno ${-ends}`);
  return [new Channel(ends[0]), new Channel(ends[1])];
}

test("messages arrive in their order, also those that waited for room", () => {
  const [one, other] = pair();
  const text = "é".repeat(10_000);
  for (let n = 0; n < 500; n++) one.send({ n, text });
  expect(one.waits).toBe(true);
  const got: number[] = [];
  while (got.length < 500) {
    const message = other.receive();
    if (message === undefined) {
      one.flush();
      continue;
    }
    expect(message.text).toBe(text);
    got.push(message.n);
  }
  expect(got).toEqual(Array.from({ length: 500 }, (_, n) => n));
  expect(one.waits).toBe(false);
  one.close();
  other.close();
});

test("a descriptor goes with its message, and is closed here", () => {
  const [one, other] = pair();
  const ends = pipe2(O_CLOEXEC);
  if (typeof ends === "number") throw new Error(`errno ${-ends}`);
  one.send({ n: 1, text: "none" });
  one.send({ n: 2, text: "one" }, ends[1]);
  expect(fcntlInt(ends[1], F_GETFD)).toBeLessThan(0);
  expect(other.receive()?.n).toBe(1);
  expect(other.received).toBe(-1);
  expect(other.receive()?.n).toBe(2);
  const room = allocate(8);
  expect(write(other.received, room.address, 3)).toBe(3);
  expect(read(ends[0], room.address, 8)).toBe(3);
  close(other.received);
  close(ends[0]);
  one.close();
  other.close();
});

test("the other end is gone: what is sent goes nowhere, and what was sent before is there", () => {
  const [one, other] = pair();
  one.send({ n: 1, text: "last" });
  one.close();
  expect(other.receive()?.n).toBe(1);
  expect(other.isOver).toBe(false);
  expect(other.receive()).toBeUndefined();
  expect(other.isOver).toBe(true);
  const ends = pipe2(O_CLOEXEC);
  if (typeof ends === "number") throw new Error(`errno ${-ends}`);
  other.send({ n: 2, text: "nobody" }, ends[0]);
  expect(fcntlInt(ends[0], F_GETFD)).toBeLessThan(0);
  close(ends[1]);
  other.close();
});

test("an end that takes nothing is given up, and what waits for it is closed", () => {
  const [one, other] = pair();
  const ends = pipe2(O_CLOEXEC);
  if (typeof ends === "number") throw new Error(`errno ${-ends}`);
  const text = "x".repeat(1000);
  while (!one.waits) one.send({ n: 0, text });
  one.send({ n: 1, text }, ends[0]);
  expect(fcntlInt(ends[0], F_GETFD)).toBeGreaterThanOrEqual(0);
  for (let n = 0; n < 20_000 && !one.isOver; n++) one.send({ n, text });
  expect(one.isOver).toBe(true);
  expect(fcntlInt(ends[0], F_GETFD)).toBeLessThan(0);
  close(ends[1]);
  one.close();
  other.close();
});
