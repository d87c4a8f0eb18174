/** Unix sockets at places: bound from within a directory, connected to by descriptor. */
import { expect, test } from "bun:test";
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../../src/sys/open.ts";
import {
  accept,
  recv,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  send,
} from "../../src/sys/socket.ts";
import {
  autobind,
  bindIn,
  bindPath,
  connectTo,
  listenAt,
  tryConnect,
  unixSocket,
} from "../../src/sys/unixsocket.ts";
import { ok, scratch } from "./support.ts";

const place = scratch();
const room = allocate(64);

/** A descriptor (O_PATH) of what is at `path`. */
const opened = (path: string, flags = 0) =>
  ok(openat(AT_FDCWD, cstring(path), O_PATH | O_CLOEXEC | flags, 0));

test.each([1, 60, 107])(
  "a name of %d bytes is bound in a directory, however deep that is",
  (length) => {
    const directory = place.path(`${"deep/".repeat(60)}${length}`);
    mkdirSync(directory, { recursive: true });
    const dirfd = opened(directory, O_DIRECTORY);
    const name = "n".repeat(length);
    const before = process.cwd();
    const fd = ok(unixSocket(SOCK_STREAM));
    expect(bindIn(fd, dirfd, name)).toBe(0);
    expect(process.cwd()).toBe(before);
    expect(statSync(join(directory, name)).isSocket()).toBe(true);
    const again = ok(unixSocket(SOCK_STREAM));
    expect(bindIn(again, dirfd, name)).toBe(-E.EADDRINUSE);
    ok(listenAt(fd, 1));
    const target = opened(join(directory, name));
    expect(tryConnect(SOCK_STREAM, target)).toBe(0);
    close(ok(accept(fd)));
    for (const one of [fd, again, target, dirfd]) close(one);
  },
);

test("a name or a path of 108 bytes is none", () => {
  const fd = ok(unixSocket(SOCK_STREAM));
  const dirfd = opened(place.path("."), O_DIRECTORY);
  expect(bindIn(fd, dirfd, "n".repeat(108))).toBe(-E.ENAMETOOLONG);
  expect(bindIn(fd, dirfd, "")).toBe(-E.ENAMETOOLONG);
  expect(bindPath(fd, `/${"n".repeat(107)}`)).toBe(-E.ENAMETOOLONG);
  for (const one of [fd, dirfd]) close(one);
});

test("what is in the way of a connection is told, and nothing waits", () => {
  const fd = ok(unixSocket(SOCK_STREAM));
  expect(bindPath(fd, place.path("listener"))).toBe(0);
  const target = opened(place.path("listener"));
  expect(tryConnect(SOCK_STREAM, target)).toBe(-E.ECONNREFUSED);
  expect(tryConnect(SOCK_DGRAM, target)).toBe(-E.EPROTOTYPE);
  ok(listenAt(fd, 0));
  expect(tryConnect(SOCK_SEQPACKET, target)).toBe(-E.EPROTOTYPE);
  const first = ok(unixSocket(SOCK_STREAM));
  expect(connectTo(first, target)).toBe(0);
  expect(tryConnect(SOCK_STREAM, target)).toBe(-E.EAGAIN);
  close(fd);
  expect(tryConnect(SOCK_STREAM, target)).toBe(-E.ECONNREFUSED);
  for (const one of [first, target]) close(one);
});

test("a datagram socket that binds itself can be answered", () => {
  const fd = ok(unixSocket(SOCK_DGRAM));
  expect(bindPath(fd, place.path("datagrams"))).toBe(0);
  const target = opened(place.path("datagrams"));
  const from = ok(unixSocket(SOCK_DGRAM));
  expect([autobind(from), connectTo(from, target)]).toEqual([0, 0]);
  expect(send(from, room.address, room.bytes.write("hello"), 0)).toBe(5);
  expect(recv(fd, room.address, room.size)).toBe(5);
  for (const one of [fd, target, from]) close(one);
});
