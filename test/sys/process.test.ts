/** Processes, limits, descriptors. What cannot be undone runs in a child: processchild.ts. */
import { describe, expect, test } from "bun:test";
import { readlinkSync, statSync } from "node:fs";
import { close, F_GETFD, F_SETFD, FD_CLOEXEC, fcntlInt } from "../../src/sys/open.ts";
import { POLLIN, PollSet } from "../../src/sys/poll.ts";
import { dupOver, getpid, gettid, kill, pidfdOpen, tgkill, umask } from "../../src/sys/process.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();

function child(what: string): Bun.Subprocess<"ignore", "pipe", "inherit"> {
  const script = new URL("./processchild.ts", import.meta.url).pathname;
  return Bun.spawn([process.execPath, script, what], { stdin: "ignore", stdout: "pipe" });
}

test("ids are those of /proc", () => {
  expect(getpid()).toBe(process.pid);
  expect(readlinkSync("/proc/thread-self")).toBe(`${getpid()}/task/${gettid()}`);
});

test("umask returns the one before and rules what is made", () => {
  const before = umask(0o077);
  close(place.file("private"));
  expect(umask(before)).toBe(0o077);
  expect(statSync(place.path("private")).mode & 0o777).toBe(0o600);
});

test("a thread with a table of its own has one descriptor, and the others lose none", async () => {
  const child = Bun.spawn([process.execPath, new URL("./keeponly.ts", import.meta.url).pathname], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  expect(JSON.parse(await child.stdout.text())).toEqual({
    worker: { result: 0, open: [] },
    main: [0, 1, 2, "pipe"],
  });
});

describe("signals", () => {
  test("0 asks whether a process or thread is there", () => {
    expect(kill(getpid(), 0)).toBe(0);
    expect(tgkill(getpid(), gettid(), 0)).toBe(0);
    expect(outcome(tgkill(getpid(), 1, 0))).toBe("ESRCH");
    expect(outcome(kill(getpid(), 65))).toBe("EINVAL");
  });

  test("a pidfd becomes readable when the process ends", async () => {
    const sleeper = Bun.spawn(["sleep", "60"]);
    const fd = ok(pidfdOpen(sleeper.pid));
    const set = new PollSet(1);
    set.add(fd, POLLIN);
    expect(set.wait(0)).toBe(0);
    expect(kill(sleeper.pid, 9)).toBe(0);
    expect(set.wait(10_000)).toBe(1);
    close(fd);
    expect(await sleeper.exited).toBe(137);
    expect(outcome(pidfdOpen(sleeper.pid))).toBe("ESRCH");
  });

  test("setDeathSignal ends a child with its parent", async () => {
    const parent = child("parent-of-sleeper");
    const pid = Number(await new Response(parent.stdout).text());
    expect(pid).toBeGreaterThan(1);
    await parent.exited;
    const fd = pidfdOpen(pid);
    const set = new PollSet(1);
    set.add(fd, POLLIN);
    // Gone already, or on its way.
    expect(fd < 0 ? outcome(fd) : set.wait(10_000)).toBe(fd < 0 ? "ESRCH" : 1);
    if (fd >= 0) close(fd);
  });
});

describe("in a process of its own", () => {
  test("the limit of descriptors, the name and the session change", async () => {
    const report = JSON.parse(await new Response(child("report").stdout).text());
    expect(report.limit).toBe(report.hard);
    expect(report.soft).toBe(report.hard);
    expect(report.name).toBe("qtfs-fifteen-by");
    expect(report.session).toBe(report.pid);
    expect(report.sessionAgain).toBe("EPERM");
  });
});

test("dupOver replaces a descriptor, for exec or not", () => {
  const [one, two] = [place.file("one"), place.file("two")];
  const inode = (fd: number) => statSync(`/proc/self/fd/${fd}`).ino;
  expect(dupOver(one, two)).toBe(two);
  expect(inode(two)).toBe(inode(one));
  expect(fcntlInt(two, F_GETFD)).toBe(0);
  expect(fcntlInt(two, F_SETFD, FD_CLOEXEC)).toBe(0);
  expect(dupOver(one, two, true)).toBe(two);
  expect(fcntlInt(two, F_GETFD)).toBe(FD_CLOEXEC);
  expect(dupOver(two, two)).toBe(two);
  expect(outcome(dupOver(two, two, true))).toBe("EINVAL");
  close(one);
  close(two);
  expect(outcome(dupOver(one, two))).toBe("EBADF");
});
