/** What a child is given between clone and exec, and what is told of one that cannot be started. */
import { expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { type SpawnFailure, type SpawnOptions, spawn } from "../../src/sys/child.ts";
import { CallList } from "../../src/sys/childcalls.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { pipe2, read } from "../../src/sys/io.ts";
import { getLimit, Resource } from "../../src/sys/limits.ts";
import { allocate, free } from "../../src/sys/memory.ts";
import {
  AT_FDCWD,
  close,
  F_DUPFD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_PATH,
  O_WRONLY,
  openat,
} from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { pidfdOpen } from "../../src/sys/process.ts";
import { reap, stringArray } from "../../src/sys/spawn.ts";
import { ok, okPair, scratch } from "./support.ts";

const place = scratch();

const high = (fd: number) => {
  const moved = ok(fcntlInt(fd, F_DUPFD_CLOEXEC, 300));
  close(fd);
  return moved;
};

/** Runs `words` to their end: what they print, or why not. */
function run(words: readonly string[], options: Partial<SpawnOptions> = {}): string | SpawnFailure {
  const text = words.map((word) => `${word}\0`).join("");
  const bytes = allocate(4096);
  const length = bytes.bytes.write(text);
  const argv = stringArray(bytes.bytes.subarray(0, length), bytes.address);
  const envp = stringArray(new Uint8Array(0), 0);
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  const output = high(writeEnd);
  const cwdFd = ok(openat(AT_FDCWD, cstring("/usr"), O_PATH | O_CLOEXEC, 0));
  const result = spawn({
    program: { path: cstring("/bin/sh") },
    argv: argv.address,
    envp: envp.address,
    cwdFd,
    umask: 0o22,
    limits: [],
    cgroupFds: [],
    blocked: 0n,
    ignored: 0n,
    fds: [
      { target: 0, path: "/dev/null", flags: 0 },
      { target: 1, fd: output },
      { target: 2, fd: output },
    ],
    ...options,
  });
  for (const fd of [output, cwdFd]) close(fd);
  for (const one of [argv, envp]) free(one);
  if (typeof result !== "number") {
    close(readEnd);
    return result;
  }
  let told = "";
  for (let got = 1; got > 0; ) {
    got = ok(read(readEnd, bytes.address, bytes.size));
    told += bytes.bytes.toString("latin1", 0, got);
  }
  close(readEnd);
  waitFor(result);
  return told;
}

function waitFor(pid: number): void {
  const pidfd = ok(pidfdOpen(pid));
  const polls = new PollSet(1);
  polls.add(pidfd, POLLIN);
  expect(polls.wait(10_000)).toBe(1);
  expect(reap(pidfd)).toBeDefined();
  close(pidfd);
}

const shell = (script: string, options: Partial<SpawnOptions> = {}) =>
  run(["sh", "-c", script], options);

test("its user, groups, umask and directory", () => {
  const identity = { uid: 4711, gid: 4712, groups: [4713, 4714] };
  const script = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status; umask; pwd";
  const told = shell(script, { identity, umask: 0o27 });
  expect(told).toBe(
    [
      "Uid:\t4711\t4711\t4711\t4711",
      "Gid:\t4712\t4712\t4712\t4712",
      "Groups:\t4713 4714 ",
      "CapPrm:\t0000000000000000",
      "CapEff:\t0000000000000000",
      "0027",
      "/usr",
      "",
    ].join("\n"),
  );
});

test("limits, which are this process's no moment", () => {
  const before = getLimit(0, Resource.NOFILE);
  const limits = [
    { resource: Resource.NOFILE, limit: [123, 456], isRequired: true },
    { resource: Resource.CPU, limit: [7, -1], isRequired: true },
  ] as const;
  const told = shell("ulimit -Sn; ulimit -Hn; ulimit -St; ulimit -Ht", { limits });
  expect(told).toBe("123\n456\n7\nunlimited\n");
  expect(getLimit(0, Resource.NOFILE)).toEqual(before);
});

test("a limit that must not be set prevents the program, or is left, as wanted", () => {
  const impossible = { resource: Resource.CORE, limit: [2, 1] } as const;
  const failed = shell("echo ran", { limits: [{ ...impossible, isRequired: true }] });
  expect(failed).toEqual({ step: "limit", index: 0, errno: E.EINVAL });
  expect(shell("echo ran", { limits: [{ ...impossible, isRequired: false }] })).toBe("ran\n");
});

test("signals that it ignores and has blocked, and no others", () => {
  const bit = (signal: number) => 1n << BigInt(signal - 1);
  const told = run(["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"], {
    program: { path: cstring("/bin/grep") },
    ignored: bit(10) | bit(13),
    blocked: bit(12),
  });
  const hex = (bits: bigint) => bits.toString(16).padStart(16, "0");
  expect(told).toBe(`SigBlk:\t${hex(bit(12))}\nSigIgn:\t${hex(bit(10) | bit(13))}\n`);
});

test("descriptors that are opened get their numbers, also where lower ones are free", () => {
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  const output = high(writeEnd);
  const script = "for i in /proc/self/fd/*; do echo $(basename $i) $(readlink $i); done | sort -n";
  const told = run(["sh", "-c", script], {
    fds: [
      { target: 1, fd: output },
      { target: 3, path: "/dev/zero", flags: 0 },
      { target: 4, path: "/dev/full", flags: O_WRONLY },
      { target: 7, path: "/dev/null", flags: 0 },
    ],
  });
  expect(told).toBe("");
  close(output);
  const room = allocate(4096);
  const got = ok(read(readEnd, room.address, room.size));
  const lines = room.bytes.toString("latin1", 0, got).split("\n");
  const devices = lines.filter((line) => line.includes(" /dev/"));
  expect(devices).toEqual(["3 /dev/zero", "4 /dev/full", "7 /dev/null"]);
  close(readEnd);
});

test("a program by its descriptor, also a script where that stays open", () => {
  const name = `${place.directory}/program`;
  symlinkSync("/bin/sh", name);
  const fd = high(ok(openat(AT_FDCWD, cstring(name), O_PATH | O_CLOEXEC, 0)));
  expect(shell("echo by descriptor; ls /proc/self/fd | wc -l", { program: { fd } })).toBe(
    "by descriptor\n4\n",
  );
  close(fd);
  const script = `${place.directory}/script`;
  writeFileSync(script, '#!/bin/sh\necho "script $1"\n');
  chmodSync(script, 0o755);
  const scriptFd = high(ok(openat(AT_FDCWD, cstring(script), O_PATH | O_CLOEXEC, 0)));
  const closed = run(["x", "y"], { program: { fd: scriptFd } });
  expect(closed).toEqual({ step: "program", index: 0, errno: E.ENOENT });
  expect(run(["x", "y"], { program: { fd: scriptFd }, keptFd: scriptFd })).toBe("script y\n");
  close(scriptFd);
});

/** Of version 1, and of version 2 beside those and alone. */
const cgroups = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"].filter((path) =>
  existsSync(`${path}/cgroup.procs`),
);

test("a cgroup is entered before the program runs, this process stays where it is", () => {
  const before = readFileSync("/proc/self/cgroup", "latin1");
  for (const parent of cgroups) {
    const name = `qtfs-test-${process.pid}`;
    mkdirSync(`${parent}/${name}`);
    const path = cstring(`${parent}/${name}/cgroup.procs`);
    const fd = ok(openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0));
    const identity = { uid: 4711, gid: 4711, groups: [] };
    const told = shell("cat /proc/self/cgroup", { cgroupFds: [fd], identity });
    close(fd);
    rmdirSync(`${parent}/${name}`);
    expect(told).toContain(`/${name}\n`);
  }
  expect(readFileSync("/proc/self/cgroup", "latin1")).toBe(before);
});

test("what cannot be: no program, no cgroup; nothing is left", () => {
  const children = () => readFileSync("/proc/thread-self/children", "latin1");
  const before = children();
  const absent = run(["x"], { program: { path: cstring("/no/such") } });
  expect(absent).toEqual({ step: "program", index: 0, errno: E.ENOENT });
  const [readEnd, writeEnd] = okPair(pipe2(O_CLOEXEC));
  close(readEnd);
  const noGroup = shell("echo ran", { cgroupFds: [writeEnd] });
  // The signal that says so is blocked until the program runs.
  expect(noGroup).toEqual({ step: "cgroup", index: 0, errno: E.EPIPE });
  close(writeEnd);
  expect(children()).toBe(before);
});

test("one that waits for ever before it runs is given up, and is no more", async () => {
  const fifo = `${place.directory}/fifo`;
  expect(Bun.spawnSync(["mkfifo", fifo]).exitCode).toBe(0);
  const fds = [{ target: 0, path: fifo, flags: 0 }];
  const stuck = run(["sh"], { fds, boundMs: 50 });
  expect(stuck).toEqual({ step: "program", index: 0, errno: E.ETIMEDOUT });
  const children = () => readFileSync("/proc/thread-self/children", "latin1").trim();
  // The next one finds it dead.
  for (let i = 0; i < 100 && children() !== ""; i++) {
    await Bun.sleep(20);
    expect(shell("echo ran")).toBe("ran\n");
  }
  expect(children()).toBe("");
});

test("a list of calls has a bound", () => {
  const list = new CallList(1);
  list.add(0);
  expect(() => list.add(0)).toThrow("full");
});
