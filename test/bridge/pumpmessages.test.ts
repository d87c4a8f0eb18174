/** Message pumps: every message crosses whole, and nothing but whole ones. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { MessagePump } from "../../src/bridge/pumpmessages.ts";
import { E } from "../../src/sys/errno.ts";
import { MSG_TRUNC } from "../../src/sys/message.ts";
import { close } from "../../src/sys/open.ts";
import { SHUT_WR, SOCK_DGRAM, SOCK_SEQPACKET, setBuffers, shutdown } from "../../src/sys/socket.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../src/sys/sockopt.ts";
import { MESSAGE_MAX, STREAM_WINDOW } from "../../src/wire/limits.ts";
import { BridgePair, get, pattern, put, sockets } from "./pair.ts";
import { getMessage, openDescriptors, putMessage } from "./programs.ts";

let pair: BridgePair;
let before: number;

beforeEach(() => {
  before = openDescriptors();
  pair = new BridgePair();
});

afterEach(() => {
  pair.close();
  expect(openDescriptors()).toBe(before);
});

function joined(type: number) {
  const [a, fdA] = sockets(type);
  const [b, fdB] = sockets(type);
  for (const fd of [a, b]) setBuffers(fd, 2 * MESSAGE_MAX);
  const ends: number[] = [];
  const pump = (fd: number) =>
    new MessagePump({ loop: pair.loop, fd, type, ended: (errno) => ends.push(errno) });
  const [here, there] = [pump(fdA), pump(fdB)];
  pair.join(here, there);
  return { a, b, here, there, ends };
}

for (const [type, name] of [
  [SOCK_SEQPACKET, "SEQPACKET"],
  [SOCK_DGRAM, "DGRAM"],
] as const) {
  test(`${name}: messages of all sizes, none and the largest too, keep their ends and order`, () => {
    const { a, b, here, there } = joined(type);
    const sizes = [0, 1, 5, 0, 65_536, 100_000, MESSAGE_MAX, MESSAGE_MAX, 3, STREAM_WINDOW - 4];
    const all = sizes.map((size, i) => pattern(size, i));
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      const got: Buffer[] = [];
      let sent = 0;
      pair.until(() => {
        const next = all[sent];
        if (next !== undefined && put(from, next) === next.length) sent++;
        const message = get(to);
        if (message !== -E.EAGAIN) got.push(Buffer.from(message === 0 ? [] : (message as Buffer)));
        return got.length === all.length;
      });
      expect(got.map((message) => message.length)).toEqual(sizes);
      expect(got.every((message, i) => message.equals(all[i] as Buffer))).toBe(true);
    }
    expect(here.figures.read).toBe(sizes.reduce((sum, size) => sum + size));
    close(a);
    close(b);
    if (type === SOCK_DGRAM) for (const pump of [here, there]) pump.close(0);
    pair.settle();
  });

  test(`${name}: a reader that stalls loses nothing`, () => {
    const { a, b, here, there } = joined(type);
    let sent = 0;
    for (let still = 0; still < 5; ) {
      if (put(a, pattern(20_000, sent)) > 0) sent++;
      else still++;
      pair.settle();
    }
    expect(sent * 20_000).toBeGreaterThan(STREAM_WINDOW);
    let got = 0;
    pair.until(() => {
      const message = get(b);
      if (message === -E.EAGAIN) return got === sent;
      expect(pattern(20_000, got).equals(message as Buffer)).toBe(true);
      got++;
      return false;
    });
    close(a);
    close(b);
    if (type === SOCK_DGRAM) for (const pump of [here, there]) pump.close(0);
    pair.settle();
  });
}

test("a larger message than can cross costs the connection", () => {
  const { a, b, ends } = joined(SOCK_SEQPACKET);
  expect(put(a, pattern(MESSAGE_MAX + 1))).toBe(MESSAGE_MAX + 1);
  pair.settle();
  expect(ends).toEqual([E.EMSGSIZE, E.EMSGSIZE]);
  expect(get(b)).toBe(0);
  close(a);
  close(b);
});

test("SEQPACKET ends each way by itself", () => {
  const { a, b, ends } = joined(SOCK_SEQPACKET);
  put(a, Buffer.from("last"));
  shutdown(a, SHUT_WR);
  pair.settle();
  expect([String(get(b)), get(b)]).toEqual(["last", 0]);
  put(b, Buffer.from("answer"));
  pair.settle();
  expect(String(get(a))).toBe("answer");
  close(a);
  pair.settle();
  expect(put(b, Buffer.from("x"))).toBe(-E.EPIPE);
  expect(ends).toEqual([0, 0]);
  close(b);
});

test("a DGRAM socket whose peer is gone says so when it is sent to", () => {
  const { a, b, ends } = joined(SOCK_DGRAM);
  close(a);
  put(b, Buffer.from("x"));
  pair.settle();
  expect(ends).toEqual([E.ECONNREFUSED, E.ECONNREFUSED]);
  expect(put(b, Buffer.from("x"))).toBe(-E.ECONNREFUSED);
  close(b);
});

test("credentials are the sender's, message by message", () => {
  const { a, b } = joined(SOCK_SEQPACKET);
  setInt(b, SOL_SOCKET, SO_PASSCRED, 1);
  for (const uid of [0, 7, 7, 0]) {
    putMessage(a, `${uid}`, { credentials: { pid: process.pid, uid, gid: 0 } });
  }
  pair.settle();
  const got = [0, 1, 2, 3].map(() => getMessage(b, 100, MSG_TRUNC));
  expect(got.map(({ text, credentials }) => [text, credentials?.uid])).toEqual([
    ["0", 0],
    ["7", 7],
    ["7", 7],
    ["0", 0],
  ]);
  close(a);
  close(b);
  pair.settle();
});

test("a session that is lost in the middle of a message gives nothing of it", () => {
  const { a, b } = joined(SOCK_SEQPACKET);
  put(a, Buffer.from("whole"));
  pair.settle();
  put(a, pattern(MESSAGE_MAX));
  pair.loop.turn();
  pair.client.close(E.ECONNRESET);
  pair.settle();
  expect(String(get(b))).toBe("whole");
  const rest = get(b);
  expect(rest === 0 || (rest as Buffer).length === MESSAGE_MAX).toBe(true);
  close(a);
  close(b);
  pair.settle();
});
