/** Starting programs, and the machine code that turns signals into bytes. */
import { expect, test } from "bun:test";
import { spawn } from "../../src/sys/child.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { pipe2, read } from "../../src/sys/io.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import {
  AT_FDCWD,
  close,
  F_DUPFD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_PATH,
  openat,
} from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { getpid, kill, pidfdOpen } from "../../src/sys/process.ts";
import { openSignalPipe, raiseDefault, restoreDefault } from "../../src/sys/signalpipe.ts";
import { SIGCHLD, SIGCONT, SIGSTOP, SIGWINCH } from "../../src/sys/signals.ts";
import * as spawns from "../../src/sys/spawn.ts";
import { ok, okPair } from "./support.ts";

function wait(fd: number): void {
  const polls = new PollSet(1);
  polls.add(fd, POLLIN);
  let ready = polls.wait(10_000);
  while (ready === -E.EINTR) ready = polls.wait(10_000);
  expect(ready).toBe(1);
}

function start(script: string, fd: number): number {
  const argv = allocate(4096);
  argv.bytes.write(`sh\0-c\0${script}\0`);
  const length = `sh\0-c\0${script}\0`.length;
  const words = spawns.stringArray(argv.bytes.subarray(0, length), argv.address);
  const none = spawns.stringArray(new Uint8Array(0), 0);
  const cwdFd = ok(openat(AT_FDCWD, cstring("/usr"), O_PATH | O_CLOEXEC, 0));
  const high = ok(fcntlInt(fd, F_DUPFD_CLOEXEC, 300));
  const pid = spawn({
    program: { path: cstring("/bin/sh") },
    argv: words.address,
    envp: none.address,
    cwdFd,
    fds: [
      { target: 0, path: "/dev/null", flags: 0 },
      { target: 1, fd: high },
    ],
    blocked: 0n,
    ignored: 0n,
    umask: 0o22,
    limits: [],
    cgroupFds: [],
  });
  for (const one of [cwdFd, high]) close(one);
  for (const one of [argv, words, none]) free(one);
  return typeof pid === "number" ? pid : -pid.errno;
}

test("a program starts with the descriptors it was given, and its end is told", () => {
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  const pid = ok(start("pwd; ls /proc/self/fd | wc -l; exit 7", writeEnd));
  close(writeEnd);
  const pidfd = ok(pidfdOpen(pid));
  wait(pidfd);
  const room = allocate(4096);
  const got = ok(read(readEnd, room.address, 4096));
  // 0, 1 and the directory that ls reads; 2 is closed, so that takes its place.
  expect(room.bytes.toString("latin1", 0, got)).toBe("/usr\n3\n");
  expect(spawns.reap(pidfd, true)).toEqual({ code: 7, signal: 0 });
  expect(spawns.reap(pidfd)).toEqual({ code: 7, signal: 0 });
  expect(spawns.reap(pidfd)).toBeUndefined();
  for (const fd of [readEnd, pidfd]) close(fd);
});

test("a program that dies of a signal, and one that is not there", () => {
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  const pid = ok(start("kill -9 $$", writeEnd));
  const pidfd = ok(pidfdOpen(pid));
  wait(pidfd);
  expect(spawns.reap(pidfd)).toEqual({ code: 0, signal: 9 });
  for (const fd of [readEnd, writeEnd, pidfd]) close(fd);
  expect(spawns.canExecute(AT_FDCWD, cstring("/no/such"))).toBe(-E.ENOENT);
  expect(spawns.canExecute(AT_FDCWD, cstring("/etc/passwd"))).toBe(-E.EACCES);
});

test("a child that stops is told once, with its signal", () => {
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  const told = ok(openSignalPipe([SIGCHLD]));
  const pid = ok(start("kill -STOP $$; exit 3", writeEnd));
  const pidfd = ok(pidfdOpen(pid));
  wait(told);
  expect(spawns.takeStopped()).toEqual({ pid, signal: SIGSTOP });
  expect(spawns.takeStopped()).toBeUndefined();
  ok(kill(pid, SIGCONT));
  wait(pidfd);
  expect(spawns.reap(pidfd)).toEqual({ code: 3, signal: 0 });
  restoreDefault(SIGCHLD);
  for (const fd of [readEnd, writeEnd, pidfd]) close(fd);
});

test("a signal does what it does by default, and is caught again afterwards", () => {
  const fd = ok(openSignalPipe([SIGWINCH]));
  // By default it is ignored.
  raiseDefault(SIGWINCH);
  ok(kill(getpid(), SIGWINCH));
  wait(fd);
  const room = allocate(64);
  expect(read(fd, room.address, 64)).toBe(1);
  restoreDefault(SIGWINCH);
});

test("signals come as bytes", () => {
  const fd = ok(openSignalPipe([10, 12]));
  for (const signal of [10, 12, 10]) {
    ok(kill(getpid(), signal));
    wait(fd);
    const room = allocate(64);
    expect(read(fd, room.address, 64)).toBe(1);
    expect(room.bytes[0]).toBe(signal);
  }
  for (const signal of [10, 12]) restoreDefault(signal);
});
