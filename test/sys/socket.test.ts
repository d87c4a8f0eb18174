/** Sockets: who may connect, stale files, TCP in both families, descriptor passing. */
import { describe, expect, test } from "bun:test";
import { existsSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { write } from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  close,
  F_GETFD,
  F_GETFL,
  FD_CLOEXEC,
  fcntlInt,
  O_NONBLOCK,
  setNonBlocking,
} from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { getpid, umask } from "../../src/sys/process.ts";
import { SCM_MAX_FD } from "../../src/sys/scm.ts";
import {
  accept,
  boundPort,
  connectTcp,
  connectUnix,
  listenTcp,
  listenUnix,
  peerCredentials,
  recv,
  recvFds,
  SHUT_WR,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  send,
  sendFds,
  setBuffers,
  shutdown,
  socketPair,
  tuneTcp,
} from "../../src/sys/socket.ts";
import { ok, okPair, outcome, scratch, textRegion } from "./support.ts";

const place = scratch();
const buffer = allocate(65536);
const hello = textRegion("hello");

function expectPrepared(fd: number): void {
  expect(fcntlInt(fd, F_GETFL) & O_NONBLOCK).toBe(O_NONBLOCK);
  expect(fcntlInt(fd, F_GETFD)).toBe(FD_CLOEXEC);
}

function waitFor(fd: number): void {
  const set = new PollSet(1);
  set.add(fd, POLLIN);
  expect(set.wait(10_000)).toBe(1);
}

describe("unix sockets", () => {
  test("the file has the mode whatever the umask says", () => {
    const before = umask(0o077);
    const modes = [0o600, 0o666, 0o660].map((mode, i) => {
      close(ok(listenUnix(place.path(`mode-${i}`), mode, 1)));
      return statSync(place.path(`mode-${i}`)).mode & 0o7777;
    });
    umask(before);
    expect(modes).toEqual([0o600, 0o666, 0o660]);
  });

  test("a connection carries bytes, its end, and who is there", () => {
    const listener = ok(listenUnix(place.path("talk"), 0o600, 4));
    expect(outcome(accept(listener))).toBe("EAGAIN");
    const client = ok(connectUnix(place.path("talk")));
    const server = ok(accept(listener));
    for (const fd of [listener, client, server]) expectPrepared(fd);
    expect(peerCredentials(server)).toEqual({ pid: getpid(), uid: 0, gid: 0 });
    expect(outcome(recv(server, buffer.address, 10))).toBe("EAGAIN");
    expect(send(client, hello.address, 5, 0)).toBe(5);
    expect(recv(server, buffer.address, 100)).toBe(5);
    expect(buffer.bytes.latin1Slice(0, 5)).toBe("hello");
    expect(shutdown(client, SHUT_WR)).toBe(0);
    expect(recv(server, buffer.address, 100)).toBe(0);
    close(client);
    expect(outcome(send(server, hello.address, 5, 0))).toBe("EPIPE");
    close(server);
    close(listener);
  });

  test("a dead socket is replaced, a live one and another kind of file are not", () => {
    const path = place.path("claimed");
    const first = ok(listenUnix(path, 0o600, 1));
    expect(outcome(listenUnix(path, 0o600, 1))).toBe("EADDRINUSE");
    close(first);
    expect(outcome(connectUnix(path))).toBe("ECONNREFUSED");
    const second = ok(listenUnix(path, 0o600, 1));
    close(ok(connectUnix(path)));
    close(second);
    writeFileSync(place.path("plain"), "kept");
    expect(outcome(listenUnix(place.path("plain"), 0o600, 1))).toBe("EADDRINUSE");
    expect(existsSync(place.path("plain"))).toBe(true);
  });

  test("paths that cannot be", () => {
    expect(outcome(connectUnix(place.path("nothing")))).toBe("ENOENT");
    expect(outcome(connectUnix(""))).toBe("EINVAL");
    expect(outcome(listenUnix("a\0b", 0o600, 1))).toBe("EINVAL");
    expect(outcome(connectUnix("x".repeat(108)))).toBe("ENAMETOOLONG");
    expect(outcome(connectUnix("x".repeat(107)))).toBe("ENOENT");
  });

  test("nothing to read and no room are EAGAIN, even for a socket that may block", () => {
    const [one, two] = okPair(socketPair(SOCK_STREAM));
    for (const fd of [one, two]) expect(setNonBlocking(fd, false)).toBe(0);
    expect(outcome(recv(two, buffer.address, 1))).toBe("EAGAIN");
    expect(outcome(recvFds(two, buffer.address, 1, 1).n)).toBe("EAGAIN");
    let sent = 0;
    let last = 0;
    do {
      last = send(one, buffer.address, buffer.size, 0);
      if (last > 0) sent += last;
    } while (last >= 0);
    expect(outcome(last)).toBe("EAGAIN");
    expect(outcome(sendFds(one, buffer.address, 1, [one]))).toBe("EAGAIN");
    expect(sent).toBeGreaterThan(0);
    close(one);
    close(two);
  });

  test("pairs keep the borders of messages where the type does", () => {
    for (const [type, borders] of [
      [SOCK_STREAM, 10],
      [SOCK_SEQPACKET, 5],
      [SOCK_DGRAM, 5],
    ] as const) {
      const [one, two] = okPair(socketPair(type));
      for (const fd of [one, two]) expectPrepared(fd);
      expect(send(one, hello.address, 5, 0) + send(one, hello.address, 5, 0)).toBe(10);
      expect(recv(two, buffer.address, 100)).toBe(borders);
      close(one);
      close(two);
    }
  });
});

describe("TCP", () => {
  for (const host of ["127.0.0.1", "::1"]) {
    test(`a connection over ${host}`, () => {
      const listener = ok(listenTcp(host, 0, 4));
      const port = boundPort(listener);
      expect(port).toBeGreaterThan(0);
      const client = ok(connectTcp(host, port));
      waitFor(listener);
      const server = ok(accept(listener));
      for (const fd of [listener, client, server]) expectPrepared(fd);
      expect([tuneTcp(client), setBuffers(client, 1 << 20)]).toEqual([0, 0]);
      expect(send(client, hello.address, 5, 0)).toBe(5);
      waitFor(server);
      expect(recv(server, buffer.address, 100)).toBe(5);
      expect(outcome(listenTcp(host, port, 1))).toBe("EADDRINUSE");
      for (const fd of [client, server, listener]) close(fd);
      // TIME_WAIT of the connection does not hold the port (SO_REUSEADDR).
      close(ok(listenTcp(host, port, 1)));
      expect(outcome(connectTcp(host, port))).toBe("ECONNREFUSED");
    });
  }

  test("only literal addresses and possible ports", () => {
    for (const host of ["localhost", "", "1.2.3", "::g", "::1%nosuchcard", "127.0.0.1\0"]) {
      expect(outcome(connectTcp(host, 80))).toBe("EINVAL");
    }
    for (const port of [-1, 65_536, 1.5, Number.NaN]) {
      expect(outcome(listenTcp("127.0.0.1", port, 1))).toBe("EINVAL");
    }
    const scoped = ok(listenTcp("::1%lo", 0, 1));
    expect(boundPort(scoped)).toBeGreaterThan(0);
    close(scoped);
  });

  test("what is for TCP says no to unix sockets", () => {
    const [one, two] = okPair(socketPair(SOCK_STREAM));
    expect(outcome(boundPort(one))).toBe("EAFNOSUPPORT");
    expect(outcome(tuneTcp(one))).toBe("EOPNOTSUPP");
    expect(outcome(boundPort(-1))).toBe("EBADF");
    close(one);
    close(two);
  });
});

describe("descriptors over a socket", () => {
  test("arrive as the same files, closed on exec", () => {
    const [one, two] = okPair(socketPair(SOCK_STREAM));
    const files = [place.file("a"), place.file("b"), place.file("c")];
    expect(sendFds(one, hello.address, 5, files)).toBe(5);
    const { n, fds } = recvFds(two, buffer.address, 100, 8);
    expect(n).toBe(5);
    const target = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);
    expect(fds.map(target)).toEqual(files.map(target));
    for (const fd of fds) expect(fcntlInt(fd, F_GETFD)).toBe(FD_CLOEXEC);
    for (const fd of [...files, ...fds, one, two]) close(fd);
  });

  test("no more than asked for, and none where none were sent", () => {
    const [one, two] = okPair(socketPair(SOCK_SEQPACKET));
    const file = place.file("d");
    expect(sendFds(one, hello.address, 5, [file, file, file])).toBe(5);
    const first = recvFds(two, buffer.address, 100, 1);
    expect([first.n, first.fds.length]).toEqual([5, 1]);
    expect(sendFds(one, hello.address, 5, [])).toBe(5);
    expect(recvFds(two, buffer.address, 100, 8)).toEqual({ n: 5, fds: [] });
    expect(recvFds(two, buffer.address, 100, 8).fds).toEqual([]);
    expect(outcome(recvFds(two, buffer.address, 100, 8).n)).toBe("EAGAIN");
    for (const fd of [...first.fds, file, one, two]) close(fd);
  });

  test("as many as the kernel takes, and one more is refused", () => {
    const [one, two] = okPair(socketPair(SOCK_STREAM));
    const many = Array.from({ length: SCM_MAX_FD }, () => one);
    expect(sendFds(one, hello.address, 1, many)).toBe(1);
    const { fds } = recvFds(two, buffer.address, 1, SCM_MAX_FD);
    expect(fds).toHaveLength(SCM_MAX_FD);
    for (const fd of fds) close(fd);
    expect(outcome(sendFds(one, hello.address, 1, [...many, one]))).toBe("EINVAL");
    expect(outcome(sendFds(one, hello.address, 1, [1 << 20]))).toBe("EBADF");
    expect(write(one, hello.address, 1)).toBe(1);
    close(one);
    close(two);
  });
});
