/** Messages with what is beside them, as the kernel gives and takes them. */
import { afterEach, expect, test } from "bun:test";
import { E } from "../../src/sys/errno.ts";
import { readNoWait, write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  isAtMark,
  MSG_CTRUNC,
  MSG_OOB,
  MSG_TRUNC,
  peekMessage,
  piecesBefore,
  receivedCredentials,
  receivedFds,
  receivedFlags,
  receivedSameCredentials,
  receiveMessage,
  sendMessage,
} from "../../src/sys/message.ts";
import { close } from "../../src/sys/open.ts";
import { eventfd } from "../../src/sys/poll.ts";
import { SOCK_SEQPACKET, SOCK_STREAM, send, socketPair } from "../../src/sys/socket.ts";
import { SO_OOBINLINE, SO_PASSCRED, SOL_SOCKET, setInt } from "../../src/sys/sockopt.ts";
import { ok, okPair } from "./support.ts";

const room = allocate(4096);
const opened: number[] = [];

afterEach(() => {
  for (const fd of opened.splice(0)) close(fd);
});

function sockets(type = SOCK_STREAM): [number, number] {
  const pair = okPair(socketPair(type));
  opened.push(...pair);
  setInt(pair[1], SOL_SOCKET, SO_PASSCRED, 1);
  return pair;
}

function put(fd: number, text: string, fds: number[] = []): void {
  room.bytes.write(text, 2048, "latin1");
  expect(sendMessage(fd, room.address + 2048, text.length, { fds })).toBe(text.length);
}

const text = (n: number) => room.bytes.latin1Slice(0, n);

test("a look finds bytes and who sent them, and that descriptors are there, without taking any", () => {
  const [a, b] = sockets();
  const fd = ok(eventfd());
  opened.push(fd);
  put(a, "plain");
  expect([peekMessage(b, room.address, 100), receivedFlags() & MSG_CTRUNC]).toEqual([5, 0]);
  expect(receivedCredentials()).toEqual({ pid: process.pid, uid: 0, gid: 0 });
  put(a, "with", [fd]);
  put(a, "behind");
  const there = peekMessage(b, room.address, 100);
  expect([there, receivedFlags() & MSG_CTRUNC]).toEqual([9, MSG_CTRUNC]);
  expect(piecesBefore(b, room.address, there)).toBe(5);
  expect(receiveMessage(b, room.address, 5)).toBe(5);
  expect([text(5), receivedFds()]).toEqual(["plain", []]);
  expect(piecesBefore(b, room.address, 4)).toBe(0);
  expect(receiveMessage(b, room.address, 100)).toBe(4);
  const fds = receivedFds();
  opened.push(...fds);
  expect([text(4), fds.length]).toEqual(["with", 1]);
  expect(receiveMessage(b, room.address, 100)).toBe(6);
});

test("pieces are told from one another at any place", () => {
  const [a, b] = sockets();
  for (const one of ["a", "bcd", "ef"]) put(a, one);
  const before = [1, 2, 3, 4, 5, 6].map((n) => piecesBefore(b, room.address, n));
  expect(before).toEqual([0, 1, 1, 1, 4, 4]);
  expect(receiveMessage(b, room.address, 100)).toBe(6);
  expect(text(6)).toBe("abcdef");
});

test("credentials are compared with the last", () => {
  const [a, b] = sockets();
  const somebody = { pid: process.pid, uid: 17, gid: 18 };
  expect(sendMessage(a, room.address, 1, { credentials: somebody })).toBe(1);
  peekMessage(b, room.address, 1);
  expect(receivedSameCredentials(somebody)).toBe(true);
  expect(receivedSameCredentials({ ...somebody, gid: 19 })).toBe(false);
});

test("an out-of-band byte is found at its place", () => {
  const [a, b] = sockets();
  setInt(b, SOL_SOCKET, SO_OOBINLINE, 1);
  put(a, "in");
  expect(send(a, room.address, 1, MSG_OOB)).toBe(1);
  put(a, "behind");
  expect(isAtMark(b)).toBe(false);
  expect(receiveMessage(b, room.address, 100)).toBe(2);
  expect(isAtMark(b)).toBe(true);
  expect(receiveMessage(b, room.address, 1)).toBe(1);
  expect(isAtMark(b)).toBe(false);
});

test("a message that is longer than the room says how long, an empty one who sent it", () => {
  const [a, b] = sockets(SOCK_SEQPACKET);
  put(a, "0123456789");
  expect(receiveMessage(b, room.address, 4, MSG_TRUNC)).toBe(10);
  expect(receivedFlags() & MSG_TRUNC).toBe(MSG_TRUNC);
  put(a, "");
  expect([receiveMessage(b, room.address, 4), receivedCredentials()?.uid]).toEqual([0, 0]);
  close(opened.splice(opened.indexOf(a), 1)[0] as number);
  expect([receiveMessage(b, room.address, 4), receivedCredentials()]).toEqual([0, undefined]);
});

test("a counter that waits for a number is read without waiting", () => {
  const fd = ok(eventfd(0));
  opened.push(fd);
  expect(readNoWait(fd, room.address, 8)).toBe(-E.EAGAIN);
  room.view.setBigUint64(0, 5n, true);
  write(fd, room.address, 8);
  room.view.setBigUint64(0, 0n, true);
  expect(readNoWait(fd, room.address, 8)).toBe(8);
  expect(room.view.getBigUint64(0, true)).toBe(5n);
});
