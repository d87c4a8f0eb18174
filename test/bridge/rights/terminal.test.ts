/** A terminal that is passed: what is typed, written and set at one is at the other. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { openSync } from "node:fs";
import { encode } from "cbor-x/encode";
import { BytePump, Shape } from "../../../src/bridge/pumpbytes.ts";
import { Rights } from "../../../src/bridge/rights/rights.ts";
import { NO_SHARE } from "../../../src/bridge/rights/share.ts";
import type { Streams } from "../../../src/session/streams.ts";
import { close, O_NONBLOCK, O_RDWR } from "../../../src/sys/open.ts";
import {
  EXTPROC,
  openPty,
  setTerminalModes,
  setTerminalSize,
  TERMIOS2,
  terminalModes,
  terminalSize,
} from "../../../src/sys/terminal.ts";
import { decodePlain } from "../../../src/wire/plain.ts";
import { okPair } from "../../sys/support.ts";
import { BridgePair, get, put, sockets } from "../pair.ts";
import { getMessage, openDescriptors, putMessage } from "../programs.ts";

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

const ICANON = 2;
const ECHO = 8;

function flagsOf(fd: number): number {
  return new DataView((terminalModes(fd) as Uint8Array).buffer).getUint32(TERMIOS2.c_lflag, true);
}

function setFlags(fd: number, change: (flags: number) => number): void {
  const modes = terminalModes(fd) as Uint8Array;
  const view = new DataView(modes.buffer);
  view.setUint32(TERMIOS2.c_lflag, change(view.getUint32(TERMIOS2.c_lflag, true)), true);
  setTerminalModes(fd, modes);
}

function size(rows: number, columns: number): Uint8Array {
  return new Uint8Array(Uint16Array.of(rows, columns, 0, 0).buffer);
}

/** A connection over which the real terminal has been passed: its ends, and both terminals. */
function passed() {
  const rightsOf = (streams: Streams) =>
    new Rights({
      loop: pair.loop,
      share: NO_SHARE,
      log: (text) => {
        throw new Error(text);
      },
      opener: {
        open: (kind, items, handler) => streams.open(kind, encode(items), handler),
        whenRoom: () => {},
      },
    });
  const [client, server] = [rightsOf(pair.client.streams), rightsOf(pair.server.streams)];
  const [a, fdA] = sockets();
  const [b, fdB] = sockets();
  const pump = (fd: number, rights: Rights) =>
    new BytePump({
      loop: pair.loop,
      fd,
      shape: Shape.SOCKET,
      ancillary: rights.carrier("a test"),
    });
  pair.join(pump(fdA, client), pump(fdB, server));
  pair.accept = (stream, _, description) =>
    server.take(stream, decodePlain(description) as unknown[]);
  // The master of the real one is the screen and the keyboard.
  const [screen, real] = okPair(openPty(O_RDWR | O_NONBLOCK));
  setTerminalSize(screen, size(24, 80));
  setFlags(real, (flags) => flags & ~ECHO);
  putMessage(a, "stdin", { fds: [real] });
  putMessage(a, "stdout", { fds: [real] });
  pair.settle();
  const first = getMessage(b);
  const second = getMessage(b);
  const [there, again] = [first.fds[0] as number, second.fds[0] as number];
  const done = () => {
    for (const fd of [a, b, screen, real, there, again]) close(fd);
    pair.settle();
    client.close();
    server.close();
  };
  return { a, b, screen, real, there, again, done };
}

/** What the screen shows, without the packets' first bytes; or what a terminal is given. */
function expectText(fd: number, text: string, skip = 0): void {
  let have = "";
  pair.until(() => {
    const got = get(fd);
    if (typeof got !== "number") have += got.subarray(skip);
    return have.length >= text.length;
  });
  expect(have).toBe(text);
}

test("what is typed and written crosses, once, however often it was passed", () => {
  const { screen, there, again, done } = passed();
  put(screen, Buffer.from("typed\n"));
  expectText(there, "typed\n");
  put(again, Buffer.from("written"));
  expectText(screen, "written", 1);
  done();
});

test("its size is told when it is passed, and before data of its connection", () => {
  const { a, b, screen, there, again, done } = passed();
  expect(terminalSize(there)).toEqual(size(24, 80));
  setTerminalSize(screen, size(50, 132));
  put(a, Buffer.from("resized"));
  expectText(b, "resized");
  expect(terminalSize(there)).toEqual(size(50, 132));
  expect(terminalSize(again)).toEqual(size(50, 132));
  done();
});

test("modes are those of the real one, and set there", () => {
  const { screen, real, there, done } = passed();
  expect(flagsOf(there) & ~EXTPROC).toBe(flagsOf(real));
  setFlags(there, (flags) => flags & ~ICANON);
  pair.until(() => (flagsOf(real) & ICANON) === 0);
  expect(flagsOf(real) & EXTPROC).toBe(0);
  // A program that knows nothing of EXTPROC takes it away.
  setFlags(there, (flags) => (flags | ICANON) & ~EXTPROC);
  pair.until(() => (flagsOf(real) & ICANON) !== 0);
  setFlags(there, (flags) => flags & ~ICANON);
  pair.until(() => (flagsOf(real) & ICANON) === 0);
  put(screen, Buffer.from("k"));
  expectText(there, "k");
  done();
});

test("who closes it last ends its stream, and it can be passed again", () => {
  const { a, b, screen, real, there, again, done } = passed();
  const watched = pair.loop.size;
  close(again);
  close(there);
  pair.until(() => pair.loop.size === watched - 2);
  putMessage(a, "x", { fds: [real] });
  pair.settle();
  const third = getMessage(b).fds[0] as number;
  put(screen, Buffer.from("still\n"));
  expectText(third, "still\n");
  // Numbers that done() is to close.
  expect([there, again]).toContain(third);
  const [other] = [there, again].filter((fd) => fd !== third);
  expect(openAgain()).toBe(other as number);
  done();
});

/** Takes the least number that is free. */
function openAgain(): number {
  return openSync("/dev/null", "r");
}

test("a terminal that hangs up does so there", () => {
  const { a, b, screen, real, there, again } = passed();
  close(screen);
  pair.until(() => get(there) === 0 || get(there) === -5);
  for (const fd of [a, b, real, there, again]) close(fd);
  pair.settle();
});
