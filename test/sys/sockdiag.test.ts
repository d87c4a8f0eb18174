import { afterAll, beforeAll, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { isNamed, isTaking, listenerAt } from "../../src/sys/sockdiag.ts";
import { SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM } from "../../src/sys/socket.ts";
import { bindAbstract, bindIn, listenAt, unixSocket } from "../../src/sys/unixsocket.ts";

let directory = "";
let dirfd = -1;
const sockets: number[] = [];
beforeAll(() => {
  directory = mkdtempSync(`${tmpdir()}/diag-`);
  dirfd = openSync(directory, "r");
});
afterAll(() => {
  for (const fd of sockets) close(fd);
  closeSync(dirfd);
  rmSync(directory, { recursive: true });
});

function bound(name: string, type: number): number {
  const fd = unixSocket(type);
  sockets.push(fd);
  expect(bindIn(fd, dirfd, name)).toBe(0);
  return fd;
}

/** What the kernel says of the file `name`. */
function asked(name: string): number | undefined {
  const { dev, ino } = statSync(`${directory}/${name}`);
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  return listenerAt(((major << 20) | minor) >>> 0, ino >>> 0);
}

test("tells the type of who listens, and only of who listens", () => {
  for (const [name, type] of [
    ["stream", SOCK_STREAM],
    ["packets", SOCK_SEQPACKET],
  ] as const) {
    const fd = bound(name, type);
    expect(asked(name)).toBeUndefined();
    expect(listenAt(fd, 1)).toBe(0);
    expect(asked(name)).toBe(type);
  }
  bound("datagrams", SOCK_DGRAM);
  expect(asked("datagrams")).toBeUndefined();
  expect(listenerAt(0, 1)).toBeUndefined();
});

function boundTo(name: string, type: number): number {
  const fd = unixSocketOf(type);
  expect(bindAbstract(fd, name)).toBe(0);
  return fd;
}

test("tells whether an abstract name is taken, by its type", () => {
  const name = `qtfs-diag-${process.pid}`;
  const fd = boundTo(`${name}/a`, SOCK_SEQPACKET);
  expect([isNamed(`${name}/a`, SOCK_SEQPACKET), isTaking(`${name}/a`, SOCK_SEQPACKET)]).toEqual([
    true,
    false,
  ]);
  expect(listenAt(fd, 1)).toBe(0);
  expect(isTaking(`${name}/a`, SOCK_SEQPACKET)).toBe(true);
  expect(isNamed(`${name}/a`, SOCK_STREAM)).toBe(false);
  // Datagrams need no listen(2), and each type has names of its own.
  boundTo(`${name}/d`, SOCK_DGRAM);
  expect(isTaking(`${name}/d`, SOCK_DGRAM)).toBe(true);
  boundTo(`${name}/d`, SOCK_STREAM);
  expect(bindAbstract(unixSocketOf(SOCK_STREAM), `${name}/d`)).toBe(-E.EADDRINUSE);
  // A NUL is a letter as any other, and nothing less than the whole name is it.
  boundTo(`${name}/n\0`, SOCK_STREAM);
  expect(isNamed(`${name}/n\0`, SOCK_STREAM)).toBe(true);
  expect(isNamed(`${name}/n`, SOCK_STREAM)).toBe(false);
  expect(isNamed(`${name}/`, SOCK_STREAM)).toBe(false);
  expect(bindAbstract(unixSocketOf(SOCK_STREAM), "x".repeat(108))).toBe(-E.EINVAL);
});

function unixSocketOf(type: number): number {
  const fd = unixSocket(type);
  sockets.push(fd);
  return fd;
}

test("finds one among more than fit into one answer", () => {
  for (let i = 0; i < 1500; i++) expect(listenAt(bound(`s${i}`, SOCK_STREAM), 1)).toBe(0);
  expect(listenAt(bound("last", SOCK_SEQPACKET), 1)).toBe(0);
  expect(asked("s0")).toBe(SOCK_STREAM);
  expect(asked("s1499")).toBe(SOCK_STREAM);
  expect(asked("last")).toBe(SOCK_SEQPACKET);
});
