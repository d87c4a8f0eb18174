/** Data: offsets beyond 4 GiB, vectors, copies inside the kernel, pipes, holes. */
import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import {
  copyFileRange,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  fallocate,
  fdatasync,
  fsync,
  ftruncate,
  IoVec,
  lseek,
  pipe2,
  pread,
  pwrite,
  read,
  readv,
  SEEK_CUR,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
  SPLICE_F_MOVE,
  sendfile,
  setPipeSize,
  splice,
  syncfs,
  write,
  writev,
} from "../../src/sys/io.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_NONBLOCK, O_RDONLY, openat } from "../../src/sys/open.ts";
import { okPair, outcome, scratch, textRegion } from "./support.ts";

const place = scratch();
const buffer = allocate(65536);
const text = (n: number) => buffer.bytes.latin1Slice(0, n);
const FAR = 5_000_000_000;

describe("positions", () => {
  test("read and write move, pread and pwrite do not", () => {
    const fd = place.file("moves");
    const hello = textRegion("hello world");
    expect(write(fd, hello.address, 11)).toBe(11);
    expect(lseek(fd, 0, SEEK_CUR)).toBe(11);
    expect(pread(fd, buffer.address, 5, 6)).toBe(5);
    expect(text(5)).toBe("world");
    expect(pwrite(fd, hello.address, 5, 6)).toBe(5);
    expect(lseek(fd, -11, SEEK_CUR)).toBe(0);
    expect(read(fd, buffer.address, 100)).toBe(11);
    expect(text(11)).toBe("hello hello");
    expect(read(fd, buffer.address, 100)).toBe(0);
    close(fd);
  });

  test("offsets above 4 GiB are exact", () => {
    const fd = place.file("far");
    expect(pwrite(fd, textRegion("far").address, 3, FAR + 1)).toBe(3);
    expect(lseek(fd, 0, SEEK_END)).toBe(FAR + 4);
    expect(pread(fd, buffer.address, 10, FAR + 1)).toBe(3);
    expect(text(3)).toBe("far");
    expect(lseek(fd, 0, SEEK_DATA)).toBeGreaterThan(2 ** 32);
    expect(ftruncate(fd, 2 ** 33 + 1)).toBe(0);
    expect(statSync(place.path("far")).size).toBe(2 ** 33 + 1);
    expect(outcome(lseek(fd, -1, SEEK_SET))).toBe("EINVAL");
    close(fd);
  });

  test("a bigint position, as directories have them, is exact too", () => {
    const fd = place.file("cookie");
    const cookie = 2n ** 53n + 1n;
    const result = lseek(fd, cookie, SEEK_SET);
    const position = /pos:\t(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1];
    // A file system with smaller files refuses what it cannot reach.
    expect(result < 0 ? outcome(result) : position).toBe(result < 0 ? "EINVAL" : `${cookie}`);
    close(fd);
  });
});

test("IoVec scatters and gathers", () => {
  const fd = place.file("vectors");
  const parts = textRegion("abcdefgh");
  const vectors = new IoVec(3);
  vectors.set(0, parts.address + 6, 2);
  vectors.set(1, parts.address, 3);
  vectors.set(2, parts.address + 3, 0);
  expect(writev(fd, vectors.address, 3)).toBe(5);
  expect(readFileSync(place.path("vectors"), "latin1")).toBe("ghabc");
  lseek(fd, 0, SEEK_SET);
  vectors.set(0, buffer.address + 3, 2);
  vectors.set(1, buffer.address, 3);
  expect(readv(fd, vectors.address, 2)).toBe(5);
  expect(text(5)).toBe("abcgh");
  close(fd);
});

describe("inside the kernel", () => {
  const source = place.file("source");
  writeFileSync(place.path("source"), "0123456789");

  test("copyFileRange copies between offsets and moves neither position", () => {
    const copy = place.file("copy");
    expect(copyFileRange(source, 2, copy, 1, 4, 0)).toBe(4);
    expect(readFileSync(place.path("copy"), "latin1")).toBe("\x002345");
    expect(copyFileRange(source, 10, copy, 0, 4, 0)).toBe(0);
    expect(copyFileRange(source, 0, copy, FAR, 10, 0)).toBe(10);
    expect(statSync(place.path("copy")).size).toBe(FAR + 10);
    expect([lseek(source, 0, SEEK_CUR), lseek(copy, 0, SEEK_CUR)]).toEqual([0, 0]);
    close(copy);
  });

  test("sendfile reads at an offset, splice through a pipe", () => {
    const [from, to] = okPair(pipe2(O_CLOEXEC | O_NONBLOCK));
    expect(sendfile(to, source, 7, 100)).toBe(3);
    expect(read(from, buffer.address, 100)).toBe(3);
    expect(text(3)).toBe("789");
    const out = place.file("spliced");
    expect(splice(source, to, 4, SPLICE_F_MOVE)).toBe(4);
    expect(splice(from, out, 100, SPLICE_F_MOVE)).toBe(4);
    expect(readFileSync(place.path("spliced"), "latin1")).toBe("0123");
    expect(outcome(splice(from, out, 1, 0))).toBe("EAGAIN");
    expect(outcome(splice(source, out, 1, 0))).toBe("EINVAL");
    for (const fd of [from, to, out]) close(fd);
  });
});

test("a pipe takes the size that it is given", () => {
  const [from, to] = okPair(pipe2(O_CLOEXEC | O_NONBLOCK));
  expect(setPipeSize(to, 100_000)).toBe(131_072);
  let held = 0;
  for (let n = 0; n >= 0; n = write(to, buffer.address, buffer.size)) held += n;
  expect(held).toBe(131_072);
  close(from);
  close(to);
});

describe("space", () => {
  test("fallocate reserves, keeps the size and punches holes", () => {
    const fd = place.file("space");
    expect(fallocate(fd, 0, 0, 65_536)).toBe(0);
    expect(statSync(place.path("space")).size).toBe(65_536);
    expect(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 131_072)).toBe(0);
    expect(statSync(place.path("space")).size).toBe(65_536);
    buffer.bytes.fill(1);
    expect(write(fd, buffer.address, 65_536)).toBe(65_536);
    expect(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8_192, 8_192)).toBe(0);
    expect(lseek(fd, 0, SEEK_HOLE)).toBe(8_192);
    expect(lseek(fd, 8_192, SEEK_DATA)).toBe(16_384);
    expect(outcome(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 1))).toBe("EOPNOTSUPP");
    close(fd);
  });

  test("the syncing calls reach the file system", () => {
    const fd = place.file("synced");
    expect([fsync(fd), fdatasync(fd), syncfs(fd)]).toEqual([0, 0, 0]);
    close(fd);
    expect([fsync(fd), fdatasync(fd), syncfs(fd)].map(outcome)).toEqual([
      "EBADF",
      "EBADF",
      "EBADF",
    ]);
    const reader = openat(AT_FDCWD, place.at("synced"), O_RDONLY, 0);
    expect(outcome(ftruncate(reader, 1))).toBe("EINVAL");
    close(reader);
  });
});
