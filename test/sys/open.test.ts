/** Opening, bounds on resolution, descriptor flags. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import { write } from "../../src/sys/io.ts";
import {
  AT_FDCWD,
  close,
  dup,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  FD_CLOEXEC,
  fcntlInt,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_LARGEFILE,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  O_RDWR,
  O_TMPFILE,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_XDEV,
  setNonBlocking,
} from "../../src/sys/open.ts";
import { ok, outcome, scratch, textRegion } from "./support.ts";

const place = scratch();
mkdirSync(place.path("root/etc"), { recursive: true });
writeFileSync(place.path("root/etc/name"), "inside");
symlinkSync("/etc", place.path("root/absolute"));
const root = ok(openat(AT_FDCWD, place.at("root"), O_PATH | O_DIRECTORY, 0));
const target = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);

describe("openat", () => {
  test("creates with the mode, relative to a directory", () => {
    const flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    const fd = ok(openat(root, cstring("made"), flags, 0o640));
    expect(statSync(place.path("root/made")).mode & 0o777).toBe(0o640);
    expect(fcntlInt(fd, F_GETFD)).toBe(FD_CLOEXEC);
    expect(fcntlInt(fd, F_GETFL)).toBe(O_RDWR | O_LARGEFILE);
    expect(close(fd)).toBe(0);
    expect(outcome(close(fd))).toBe("EBADF");
  });

  test("O_TMPFILE makes a file without a name", () => {
    const fd = ok(openat(AT_FDCWD, place.at("root"), O_RDWR | O_TMPFILE | O_CLOEXEC, 0o600));
    expect(write(fd, textRegion("data").address, 4)).toBe(4);
    expect(target(fd)).toEndWith("(deleted)");
    close(fd);
  });
});

describe("openat2", () => {
  test("RESOLVE_IN_ROOT takes absolute links and .. as the root's own", () => {
    for (const path of ["absolute/name", "../../etc/name", "/etc/name"]) {
      const fd = ok(openat2(root, cstring(path), O_RDONLY | O_CLOEXEC, 0, RESOLVE_IN_ROOT));
      expect(target(fd)).toBe(place.path("root/etc/name"));
      close(fd);
    }
  });

  test("creates, and holds to the mode", () => {
    const flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    const fd = ok(openat2(root, cstring("etc/made"), flags, 0o604, RESOLVE_BENEATH));
    expect(statSync(place.path("root/etc/made")).mode & 0o777).toBe(0o604);
    close(fd);
  });

  test("refuses other mounts and magic links when told to", () => {
    const slash = ok(openat(AT_FDCWD, cstring("/"), O_PATH, 0));
    const proc = cstring("proc/self");
    expect(outcome(openat2(slash, proc, O_PATH, 0, RESOLVE_NO_XDEV))).toBe("EXDEV");
    const magic = cstring(`proc/self/fd/${root}`);
    expect(outcome(openat2(slash, magic, O_RDONLY, 0, RESOLVE_NO_MAGICLINKS))).toBe("ELOOP");
    close(slash);
  });
});

describe("descriptor flags", () => {
  test("setNonBlocking changes that flag only", () => {
    const fd = place.file("flags");
    const before = fcntlInt(fd, F_GETFL);
    expect(setNonBlocking(fd, true)).toBe(0);
    expect(fcntlInt(fd, F_GETFL)).toBe(before | O_NONBLOCK);
    expect(setNonBlocking(fd, false)).toBe(0);
    expect(fcntlInt(fd, F_GETFL)).toBe(before);
    close(fd);
    expect(outcome(setNonBlocking(fd, true))).toBe("EBADF");
  });

  test("dup gives another descriptor of the same file, closed on exec", () => {
    const fd = place.file("dup");
    expect(fcntlInt(fd, F_SETFD, 0)).toBe(0);
    const copy = ok(dup(fd));
    expect(copy).not.toBe(fd);
    expect(fcntlInt(copy, F_GETFD)).toBe(FD_CLOEXEC);
    expect(target(copy)).toBe(target(fd));
    close(fd);
    expect(write(copy, textRegion("still open").address, 10)).toBe(10);
    close(copy);
  });
});
