/** Many senders of datagrams to one socket, each with a connection of its own. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatagramFan, type Sender } from "../../src/bridge/datagrams.ts";
import { Loop } from "../../src/bridge/loop.ts";
import { E } from "../../src/sys/errno.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  receivedCredentials,
  receivedFds,
  receiveMessage,
  sendMessage,
} from "../../src/sys/message.ts";
import { close, dup } from "../../src/sys/open.ts";
import { send } from "../../src/sys/socket.ts";
import { SO_PASSCRED, SOL_SOCKET, setInt } from "../../src/sys/sockopt.ts";
import { autobind, unixSocket } from "../../src/sys/unixsocket.ts";
import { SocketType } from "../../src/wire/streams.ts";
import { connected, listening, turnUntil } from "./program.ts";

const room = allocate(4096);
let directory: string;
let loop: Loop;
let bound: number;
let fan: DatagramFan;
let lines: { sender: Sender; fd: number }[];
let refuses: boolean;
let log: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "qtfs-datagrams-"));
  loop = new Loop();
  bound = listening(directory, "socket", SocketType.DGRAM);
  lines = [];
  log = [];
  refuses = false;
  fan = new DatagramFan({
    loop,
    fd: bound,
    join: (sender, fd) => {
      if (refuses) return false;
      setInt(fd, SOL_SOCKET, SO_PASSCRED, 1);
      lines.push({ sender, fd });
      return true;
    },
    log: (text) => log.push(text),
  });
  fan.serve(true);
});
afterEach(() => {
  fan.close();
  for (const { fd } of lines) close(fd);
  close(bound);
  loop.close();
  rmSync(directory, { recursive: true });
});

function sender(named = true): number {
  const fd = connected(join(directory, "socket"), SocketType.DGRAM);
  if (named) autobind(fd);
  return fd;
}

function say(fd: number, text: string): number {
  return send(fd, room.address, room.bytes.write(text), 0);
}

function hear(fd: number): string | number {
  const got = receiveMessage(fd, room.address, room.size);
  return got < 0 ? got : room.bytes.toString("utf8", 0, got);
}

test("messages keep their bounds, their order and their sender; answers go to its name", () => {
  const [first, second] = [sender(), sender()];
  for (const text of ["one", "", "three"]) expect(say(first, text)).toBe(text.length);
  say(second, "other");
  turnUntil(loop, () => lines.length === 2, "both have a connection");
  for (let i = 0; i < 5; i++) loop.turn(1);
  expect(lines[0]?.sender.credentials).toMatchObject({ pid: process.pid, uid: 0, gid: 0 });
  const [a, b] = lines.map(({ fd }) => fd) as [number, number];
  expect([hear(a), hear(a), hear(a), hear(a)]).toEqual(["one", "", "three", -E.EAGAIN]);
  expect(hear(b)).toBe("other");
  expect(receivedCredentials()).toMatchObject({ uid: 0, gid: 0 });
  say(b, "answer");
  loop.turn(5);
  expect([hear(first), hear(second)]).toEqual([-E.EAGAIN, "answer"]);
  close(first);
  close(second);
});

test("descriptors go along, and none stays behind", () => {
  const from = sender();
  const passed = dup(bound);
  room.bytes.write("with");
  expect(sendMessage(from, room.address, 4, { fds: [passed, passed] })).toBe(4);
  close(passed);
  turnUntil(loop, () => lines.length === 1, "it has a connection");
  loop.turn(1);
  expect(hear(lines[0]?.fd as number)).toBe("with");
  const fds = receivedFds();
  expect(fds.length).toBe(2);
  for (const fd of fds) close(fd);
  close(from);
});

test("without a stream, or room in it, datagrams wait with their senders", () => {
  const from = sender(false);
  refuses = true;
  let sent = 0;
  while (say(from, `number ${sent}`) > 0) {
    sent++;
    loop.turn(0);
  }
  expect(sent).toBeGreaterThan(5);
  refuses = false;
  const heard: unknown[] = [];
  const take = () => {
    for (const { fd } of lines) {
      for (let text = hear(fd); typeof text === "string"; text = hear(fd)) heard.push(text);
    }
    return heard.length === sent;
  };
  turnUntil(loop, take, "all have come");
  expect(heard).toEqual(heard.map((_, i) => `number ${i}`));
  // Its stream is not read from: the socket is not, either.
  let more = 0;
  while (more < 50_000 && say(from, `number ${more}`) > 0) {
    more++;
    loop.turn(0);
  }
  expect(more).toBeLessThan(50_000);
  expect(log).toEqual([]);
  close(from);
});

test("answers wait for room in the receiver's queue, of it alone, and then whoever answers", () => {
  // Not connected: the kernel bounds the queue of each, not what is on its way to all.
  const [slow, quick] = [unixSocket(SocketType.DGRAM), unixSocket(SocketType.DGRAM)];
  const name = Buffer.from(join(directory, "socket"));
  for (const fd of [slow, quick]) {
    autobind(fd);
    sendMessage(fd, room.address, 4, { name });
  }
  turnUntil(loop, () => lines.length === 2, "both have a connection");
  const [toSlow, toQuick] = lines.map(({ fd }) => fd) as [number, number];
  let sent = 0;
  while (sent < 50_000 && say(toSlow, `answer ${sent}`) > 0) {
    sent++;
    loop.turn(0);
  }
  // More than a queue holds (max_dgram_qlen), and not without an end.
  expect(sent).toBeGreaterThan(20);
  expect(sent).toBeLessThan(50_000);
  say(toQuick, "answer");
  turnUntil(loop, () => hear(quick) === "answer", "nobody else waits");
  const heard: unknown[] = [];
  const take = () => {
    for (let text = hear(slow); typeof text === "string"; text = hear(slow)) heard.push(text);
    return heard.length === sent;
  };
  turnUntil(loop, take, "all have come");
  expect(heard).toEqual(heard.map((_, i) => `answer ${i}`));
  expect(log).toEqual([]);
  for (let i = 0; i < 20; i++) say(toSlow, "late");
  loop.turn(1);
  close(slow);
  turnUntil(loop, () => log.length > 0, "what nobody can get is told of");
  close(quick);
});

test("an answer that nobody can get is told of", () => {
  const from = sender(false);
  say(from, "question");
  turnUntil(loop, () => lines.length === 1, "it has a connection");
  say(lines[0]?.fd as number, "answer");
  turnUntil(loop, () => log.length > 0, "it is told");
  expect(log[0]).toContain("An answer to a datagram is lost");
  close(from);
});

test("there are as many senders at once as there may be: the one that was quiet longest goes", () => {
  const senders = Array.from({ length: 520 }, () => sender());
  for (const fd of senders) {
    while (say(fd, "hello") < 0) loop.turn(0);
    loop.turn(0);
  }
  turnUntil(loop, () => lines.length === 520, "all have had a connection");
  const ended = lines.filter(({ fd }) => hear(fd) === "hello" && hear(fd) === "");
  expect(ended.length).toBe(8);
  expect(ended.map(({ fd }) => fd)).toEqual(lines.slice(0, 8).map(({ fd }) => fd));
  for (const fd of senders) close(fd);
});
