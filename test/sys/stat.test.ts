/** statx and fstatfs against what node says of the same file. */
import { expect, test } from "bun:test";
import { linkSync, statfsSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import { allocate, getWord64 } from "../../src/sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_PATH,
  openat,
} from "../../src/sys/open.ts";
import {
  fstatfs,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  STATFS,
  STATFS_STRUCT_SIZE,
  STATX,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
  STATX_STRUCT_SIZE,
  statx,
} from "../../src/sys/stat.ts";
import { major, makedev, minor } from "../../src/sys/tree.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();
const found = allocate(STATX_STRUCT_SIZE);
const u32 = (offset: number) => found.view.getUint32(offset, true);
const u64 = (offset: number) => getWord64(found.words, offset / 4);
const mode = () => found.view.getUint16(STATX.mode, true);

const FAR = 6_000_000_000;
writeFileSync(place.path("file"), "x");
truncateSync(place.path("file"), FAR);
linkSync(place.path("file"), place.path("second"));
symlinkSync("file", place.path("link"));
const WANTED = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

test("statx says what stat says", () => {
  const theirs = statSync(place.path("file"), { bigint: true });
  expect(statx(AT_FDCWD, place.at("file"), 0, WANTED, found.address)).toBe(0);
  expect(u32(STATX.mask) & STATX_BASIC_STATS).toBe(STATX_BASIC_STATS);
  expect(mode()).toBe(Number(theirs.mode));
  expect(mode() & S_IFMT).toBe(S_IFREG);
  expect(u32(STATX.nlink)).toBe(2);
  expect(u64(STATX.size)).toBe(FAR);
  expect(u64(STATX.blocks)).toBe(Number(theirs.blocks));
  expect(u64(STATX.ino)).toBe(Number(theirs.ino));
  expect(u32(STATX.uid)).toBe(Number(theirs.uid));
  expect(u32(STATX.blksize)).toBe(Number(theirs.blksize));
  expect(makedev(u32(STATX.devMajor), u32(STATX.devMinor))).toBe(Number(theirs.dev));
  for (const [sec, nsec, ns] of [
    [STATX.atimeSec, STATX.atimeNsec, theirs.atimeNs],
    [STATX.mtimeSec, STATX.mtimeNsec, theirs.mtimeNs],
    [STATX.ctimeSec, STATX.ctimeNsec, theirs.ctimeNs],
  ] as const) {
    expect(BigInt(u64(sec)) * 1_000_000_000n + BigInt(u32(nsec))).toBe(ns);
  }
});

test("a link itself, a descriptor itself, a device", () => {
  const flags = AT_SYMLINK_NOFOLLOW;
  expect(statx(AT_FDCWD, place.at("link"), flags, WANTED, found.address)).toBe(0);
  expect(mode() & S_IFMT).toBe(S_IFLNK);
  const fd = ok(openat(AT_FDCWD, place.at("second"), O_PATH, 0));
  expect(statx(fd, cstring(""), AT_EMPTY_PATH, WANTED, found.address)).toBe(0);
  expect(u64(STATX.size)).toBe(FAR);
  close(fd);
  expect(statx(AT_FDCWD, cstring("/dev/null"), 0, WANTED, found.address)).toBe(0);
  expect([u32(STATX.rdevMajor), u32(STATX.rdevMinor)]).toEqual([1, 3]);
  const rdev = statSync("/dev/null").rdev;
  expect([major(rdev), minor(rdev)]).toEqual([1, 3]);
  expect(outcome(statx(AT_FDCWD, place.at("none"), 0, WANTED, found.address))).toBe("ENOENT");
});

test("fstatfs knows the file system, through an O_PATH descriptor too", () => {
  const theirs = statfsSync("/proc");
  const fd = ok(openat(AT_FDCWD, cstring("/proc"), O_PATH, 0));
  const answer = allocate(STATFS_STRUCT_SIZE);
  expect(fstatfs(fd, answer.address)).toBe(0);
  const PROC_SUPER_MAGIC = 0x9fa0;
  expect(getWord64(answer.words, STATFS.type / 4)).toBe(PROC_SUPER_MAGIC);
  expect(getWord64(answer.words, STATFS.bsize / 4)).toBe(theirs.bsize);
  expect(getWord64(answer.words, STATFS.namelen / 4)).toBe(255);
  close(fd);
  expect(outcome(fstatfs(fd, answer.address))).toBe("EBADF");
});
