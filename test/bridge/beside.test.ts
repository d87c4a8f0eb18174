/** What travels beside the bytes of two joined sockets, and where in them. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import type { Ancillary } from "../../src/bridge/ancillary.ts";
import { BytePump, Shape } from "../../src/bridge/pumpbytes.ts";
import { E } from "../../src/sys/errno.ts";
import { MSG_OOB } from "../../src/sys/message.ts";
import { close, dup } from "../../src/sys/open.ts";
import { eventfd } from "../../src/sys/poll.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../src/sys/sockopt.ts";
import { ok } from "../sys/support.ts";
import { BridgePair, get, pattern, put, sockets } from "./pair.ts";
import { getMessage, putMessage } from "./programs.ts";

let pair: BridgePair;
let before: number;
/** Descriptors on their way, by the number that their message has. */
let underWay: number[][];
/** How long each translation takes. */
let delayMs: number;
const openFds = () => readdirSync("/proc/self/fd").length;

beforeEach(() => {
  before = openFds();
  pair = new BridgePair();
  underWay = [];
  delayMs = 0;
});

afterEach(() => {
  pair.close();
  for (const fds of underWay) for (const fd of fds) close(fd);
  expect(openFds()).toBe(before);
});

/** Carries descriptors as they are, for both ends are in one process. */
function sameProcess(): Ancillary {
  let isOver = false;
  const later = (fn: () => void) => {
    if (delayMs === 0) fn();
    else pair.loop.after(delayMs, () => isOver || fn());
  };
  return {
    pack: (fds, done) => {
      const number = underWay.push([...fds]) - 1;
      later(() => done(Buffer.from([number])));
    },
    unpack: ([number], done) => {
      later(() => done((underWay[number as number] as number[]).splice(0)));
    },
    release: (fd) => void close(fd),
    refresh() {},
    drop() {},
    close: () => {
      isOver = true;
    },
  };
}

function joined(ancillary: (() => Ancillary) | undefined = sameProcess) {
  const [a, fdA] = sockets();
  const [b, fdB] = sockets();
  const ends: number[] = [];
  const pump = (fd: number) =>
    new BytePump({
      loop: pair.loop,
      fd,
      shape: Shape.SOCKET,
      ended: (errno) => ends.push(errno),
      ...(ancillary && { ancillary: ancillary() }),
    });
  const [here, there] = [pump(fdA), pump(fdB)];
  pair.join(here, there);
  const done = () => {
    close(a);
    close(b);
    pair.settle();
  };
  return { a, b, ends, done };
}

/** Descriptors that tell from one another. */
const some = (count: number) => Array.from({ length: count }, () => ok(eventfd()));

function closeEach(fds: readonly number[]): void {
  for (const fd of fds) close(fd);
}

for (const ms of [0, 30]) {
  test(`descriptors come with the byte they were sent with, after ${ms} ms each`, () => {
    delayMs = ms;
    const { a, b, done } = joined();
    const mine = some(3);
    putMessage(a, "plain", {});
    putMessage(a, "one", { fds: mine.slice(0, 1) });
    putMessage(a, "two", { fds: mine.slice(1) });
    putMessage(a, "rest", {});
    pair.until(() => {
      pair.settle();
      return underWay.length === 2 && underWay.flat().length === 0;
    });
    pair.settle();
    // A reader of the bytes before loses nothing that is behind them.
    expect(String(get(b, 2))).toBe("pl");
    expect(String(get(b, 3))).toBe("ain");
    const one = getMessage(b, 1);
    expect([one.text, one.fds.length]).toEqual(["o", 1]);
    const ne = getMessage(b);
    expect([ne.text.slice(0, 2), ne.fds.length]).toEqual(["ne", ne.text === "ne" ? 0 : 2]);
    const two = ne.text === "ne" ? getMessage(b) : ne;
    expect(two.fds.length).toBe(2);
    expect(two.text.endsWith("two")).toBe(true);
    const rest = getMessage(b);
    expect([rest.text, rest.fds.length]).toEqual(["rest", 0]);
    closeEach([...one.fds, ...two.fds, ...mine]);
    done();
  });
}

test("as many descriptors as a message can have, again and again, in their order", () => {
  const { a, b, done } = joined();
  const mine = some(253);
  for (let round = 0; round < 5; round++) {
    expect(putMessage(a, `round ${round}`, { fds: mine })).toBe(7);
    let got = getMessage(b);
    pair.until(() => {
      if (got.n < 0) got = getMessage(b);
      return got.n > 0;
    });
    expect([got.text, got.fds.length]).toEqual([`round ${round}`, 253]);
    closeEach(got.fds);
  }
  closeEach(mine);
  done();
});

test("bytes behind descriptors that take long wait, those of other streams do not", () => {
  delayMs = 300;
  const slow = joined();
  const mine = some(1);
  putMessage(slow.a, "x", { fds: mine });
  put(slow.a, pattern(100_000));
  pair.loop.turn(5);
  delayMs = 0;
  const fast = joined();
  put(fast.a, Buffer.from("quick"));
  pair.until(() => typeof get(fast.b) !== "number");
  expect(get(slow.b)).toBe(-E.EAGAIN);
  pair.until(() => {
    const got = getMessage(slow.b);
    closeEach(got.fds);
    return got.fds.length === 1;
  });
  closeEach(mine);
  fast.done();
  slow.done();
});

test("a program that ends while its descriptors are on their way leaves none behind", () => {
  delayMs = 20;
  const { a, b } = joined();
  const mine = some(2);
  putMessage(a, "x", { fds: mine });
  pair.loop.turn(5);
  close(a);
  close(b);
  pair.settle();
  pair.until(() => pair.loop.size === 2);
  closeEach(mine);
});

test("where nothing can carry descriptors, who sends some is reset", () => {
  const { a, b, ends } = joined(() => ({
    pack: (fds, done) => {
      closeEach(fds);
      done(E.EOPNOTSUPP);
    },
    unpack: (_, done) => done(E.EOPNOTSUPP),
    release: (fd) => void close(fd),
    refresh() {},
    drop() {},
    close() {},
  }));
  const mine = some(1);
  putMessage(a, "x", { fds: mine });
  pair.settle();
  expect(ends).toEqual([E.EOPNOTSUPP, E.EOPNOTSUPP]);
  expect(get(b)).toBe(0);
  expect(put(a, Buffer.from("y"))).toBe(-E.EPIPE);
  closeEach([a, b, ...mine]);
});

test("credentials come where they change, with user and group of the sender", () => {
  const { a, b, done } = joined();
  setInt(b, SOL_SOCKET, SO_PASSCRED, 1);
  const somebody = { pid: process.pid, uid: 1234, gid: 5678 };
  putMessage(a, "me", {});
  putMessage(a, "him", { credentials: somebody });
  putMessage(a, "me again", {});
  pair.settle();
  const all = [getMessage(b), getMessage(b), getMessage(b)];
  expect(all.map(({ text, credentials }) => [text, credentials?.uid, credentials?.gid])).toEqual([
    ["me", 0, 0],
    ["him", 1234, 5678],
    ["me again", 0, 0],
  ]);
  expect(all.map(({ credentials }) => credentials?.pid)).toEqual([1, 1, 1].map(() => process.pid));
  done();
});

test("an out-of-band byte stays one, in its place", () => {
  const { a, b, done } = joined();
  put(a, Buffer.from("before!"), MSG_OOB);
  put(a, Buffer.from("after"));
  pair.settle();
  expect(getMessage(b, 10, MSG_OOB).text).toBe("!");
  expect(String(get(b))).toBe("before");
  expect(String(get(b))).toBe("after");
  done();
});

test("a reader that stalls holds up descriptors with the bytes, and loses none", () => {
  const { a, b, done } = joined();
  const mine = some(1);
  let sent = 0;
  for (let still = 0; still < 5; ) {
    const fds = sent % 7 === 0 ? [dup(mine[0] as number)] : [];
    const n = putMessage(a, pattern(5000, sent), { fds });
    if (n > 0) sent++;
    else still++;
    closeEach(fds);
    pair.settle();
  }
  let [bytes, fds] = [0, 0];
  pair.until(() => {
    const got = getMessage(b);
    if (got.n > 0) bytes += got.n;
    fds += got.fds.length;
    closeEach(got.fds);
    return bytes >= sent * 5000;
  });
  expect(fds).toBe(Math.ceil(sent / 7));
  closeEach(mine);
  done();
});
