/** Mode, owner, times, length. */
import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, lstatSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import {
  fchmod,
  fchmodat,
  fchown,
  fchownat,
  KEEP_OWNER,
  TIMESPEC,
  TIMESPEC_STRUCT_SIZE,
  truncate,
  UTIME_NOW,
  UTIME_OMIT,
  utimensat,
} from "../../src/sys/attr.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_PATH,
  openat,
} from "../../src/sys/open.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();
const file = place.path("file");
writeFileSync(file, "0123456789");
symlinkSync("file", place.path("link"));
const mode = () => statSync(file).mode & 0o7777;
/** O_PATH descriptors take fchmodat2 alone (Linux 6.6). */
const [linuxMajor = 0, linuxMinor = 0] = release().split(".").map(Number);
const hasFchmodat2 = linuxMajor > 6 || (linuxMajor === 6 && linuxMinor >= 6);

describe("mode", () => {
  test("fchmodat follows a link and sets every bit", () => {
    expect(fchmodat(AT_FDCWD, place.at("link"), 0o6751)).toBe(0);
    expect(mode()).toBe(0o6751);
    const fd = place.file("file");
    expect(fchmod(fd, 0o640)).toBe(0);
    expect(mode()).toBe(0o640);
    close(fd);
  });

  test("a link itself has no mode to change", () => {
    const result = fchmodat(AT_FDCWD, place.at("link"), 0o777, AT_SYMLINK_NOFOLLOW);
    expect(outcome(result)).toBe("EOPNOTSUPP");
    expect(mode()).toBe(0o640);
    expect(fchmodat(AT_FDCWD, place.at("file"), 0o600, AT_SYMLINK_NOFOLLOW)).toBe(0);
    expect(mode()).toBe(0o600);
  });

  test("an O_PATH descriptor: by fchmodat2, not by fchmod", () => {
    const fd = ok(openat(AT_FDCWD, place.at("file"), O_PATH, 0));
    expect(outcome(fchmod(fd, 0o604))).toBe("EBADF");
    const result = fchmodat(fd, cstring(""), 0o604, AT_EMPTY_PATH);
    expect(outcome(result)).toBe(hasFchmodat2 ? 0 : "EINVAL");
    expect(mode()).toBe(hasFchmodat2 ? 0o604 : 0o600);
    close(fd);
  });
});

describe("owner", () => {
  const owner = () => [statSync(file).uid, statSync(file).gid];

  test("fchownat sets both, one, or none", () => {
    chownSync(file, 0, 0);
    expect(fchownat(AT_FDCWD, place.at("file"), 1000, 2000, 0)).toBe(0);
    expect(owner()).toEqual([1000, 2000]);
    expect(fchownat(AT_FDCWD, place.at("file"), KEEP_OWNER, 7, 0)).toBe(0);
    expect(owner()).toEqual([1000, 7]);
    const fd = place.file("file");
    expect(fchown(fd, 4_000_000_000, KEEP_OWNER)).toBe(0);
    expect(owner()).toEqual([4_000_000_000, 7]);
    close(fd);
  });

  test("a link itself, and an O_PATH descriptor", () => {
    const flags = AT_SYMLINK_NOFOLLOW;
    expect(fchownat(AT_FDCWD, place.at("link"), 12, 13, flags)).toBe(0);
    expect([lstatSync(place.path("link")).uid, owner()[0]]).toEqual([12, 4_000_000_000]);
    const fd = ok(openat(AT_FDCWD, place.at("file"), O_PATH, 0));
    expect(fchownat(fd, cstring(""), 0, 0, AT_EMPTY_PATH)).toBe(0);
    expect(owner()).toEqual([0, 0]);
    close(fd);
  });
});

describe("times", () => {
  const times = allocate(2 * TIMESPEC_STRUCT_SIZE);
  const set = (i: number, sec: number, nsec: number) => {
    const at = i * TIMESPEC_STRUCT_SIZE;
    times.view.setBigInt64(at + TIMESPEC.sec, BigInt(sec), true);
    times.view.setBigInt64(at + TIMESPEC.nsec, BigInt(nsec), true);
  };
  const read = () => {
    const { atimeNs, mtimeNs } = statSync(file, { bigint: true });
    return [atimeNs, mtimeNs];
  };

  test("utimensat sets nanoseconds, by path and by descriptor", () => {
    set(0, 1_000_000_000, 123_456_789);
    set(1, 5_000_000_000, 1);
    expect(utimensat(AT_FDCWD, place.at("file"), times.address, 0)).toBe(0);
    expect(read()).toEqual([1_000_000_000_123_456_789n, 5_000_000_000_000_000_001n]);
    set(0, 7, 8);
    const fd = place.file("file");
    expect(utimensat(fd, 0, times.address, 0)).toBe(0);
    expect(read()[0]).toBe(7_000_000_008n);
    close(fd);
  });

  test("UTIME_OMIT leaves a time alone, UTIME_NOW takes the clock's", () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    set(0, 0, UTIME_OMIT);
    set(1, 0, UTIME_NOW);
    expect(utimensat(AT_FDCWD, place.at("file"), times.address, 0)).toBe(0);
    const [atime = 0n, mtime = 0n] = read();
    expect(atime).toBe(7_000_000_008n);
    // The file system's clock ticks every 10 ms at worst (CONFIG_HZ).
    expect(mtime).toBeGreaterThan(before - 20_000_000n);
    expect(mtime).toBeLessThan(before + 3_600_000_000_000n);
  });

  test("a descriptor that is O_PATH is EBADF without a path", () => {
    const fd = ok(openat(AT_FDCWD, place.at("file"), O_PATH, 0));
    expect(outcome(utimensat(fd, 0, times.address, 0))).toBe("EBADF");
    close(fd);
  });
});

test("truncate shortens and extends beyond 4 GiB", () => {
  chmodSync(file, 0o600);
  expect(truncate(place.at("file"), 4)).toBe(0);
  expect(statSync(file).size).toBe(4);
  expect(truncate(place.at("file"), 5_000_000_001)).toBe(0);
  expect(statSync(file).size).toBe(5_000_000_001);
  expect(outcome(truncate(place.at("file"), -1))).toBe("EINVAL");
  expect(outcome(truncate(cstring(place.directory), 0))).toBe("EISDIR");
});
