/** read(2), write(2) and their vector and positioned forms. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { allZero, changed, get, make, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const MIB = 1 << 20;

/** Sizes around what pages and requests are made of. */
const SIZES = [1, 4095, 4096, 4097, 65535, 65536, 131071, 131072, 131073, MIB - 1, MIB + 1];

export const cases = area("read-write", {
  "end-of-file": () => {
    const fd = make("f", "data");
    holds(p.read(fd, 100), "data", "content");
    holds(p.read(fd, 100), "", "content at the end");
    holds(p.pread(fd, 10, 1000), "", "content beyond the end");
  },
  "moves-the-offset": () => {
    const fd = make("f", "abcdef");
    holds(p.read(fd, 2), "ab", "first");
    p.write(fd, "X");
    holds(p.read(fd, 2), "de", "after the write");
    equal(text("f"), "abXdef", "content");
  },
  "positioned-keeps-the-offset": () => {
    const fd = make("f", "abcdef");
    p.pread(fd, 3, 3);
    p.pwrite(fd, "Z", 5);
    equal(p.lseek(fd, 0, p.SEEK_CUR), 0, "offset");
  },
  "nothing-written": () => {
    put("f", "data");
    const fd = p.open("f", p.O_RDWR);
    equal(p.write(fd, ""), 0, "bytes written");
    equal(p.read(fd, 0).length, 0, "bytes read");
    equal(
      changed("f", () => p.write(fd, "")),
      [],
      "changed times",
    );
  },
  "hole-by-pwrite": () => {
    const fd = make("f");
    p.pwrite(fd, "end", 100_000);
    equal(p.fstat(fd).size, 100_003, "size");
    allZero(p.pread(fd, 100_000, 0), "the hole");
  },
  "hole-by-seek": () => {
    const fd = make("f", "ab");
    p.lseek(fd, 10, p.SEEK_SET);
    equal(p.fstat(fd).size, 2, "size before the write");
    p.write(fd, "cd");
    equal(text("f"), "ab\0\0\0\0\0\0\0\0cd", "content");
  },
  "negative-offset": () => {
    const fd = make("f", "data");
    refuses("EINVAL", () => p.pread(fd, 1, -1));
    refuses("EINVAL", () => p.pwrite(fd, "x", -1));
  },
  "sizes-round-trip": () => {
    for (const size of SIZES) {
      const fd = make(`f${size}`);
      const data = pattern(size, size);
      equal(p.write(fd, data), size, `bytes written of ${size}`);
      equal(p.pread(fd, size + 10, 0), data, `content of ${size}`);
      equal(p.fstat(fd).size, size, `size of ${size}`);
    }
  },
  "odd-offsets-round-trip": () => {
    const fd = make("f");
    const whole = Buffer.alloc(3 * MIB);
    for (let step = 0; step < 60; step++) {
      const at = (step * 52_361) % (2 * MIB);
      const data = pattern(1 + ((step * 7919) % 40_000), step * 1000);
      data.copy(whole, at);
      p.pwrite(fd, data, at);
    }
    const { size } = p.fstat(fd);
    equal(get("f"), whole.subarray(0, size), "content");
  },
  "one-byte-at-a-time": () => {
    const fd = make("f");
    for (let index = 0; index < 3000; index++) p.write(fd, String.fromCharCode(97 + (index % 26)));
    equal(text("f"), "abcdefghijklmnopqrstuvwxyz".repeat(116).slice(0, 3000), "content");
  },
  "24-mib": {
    boundMs: 60_000,
    run: () => {
      const fd = make("f");
      for (let at = 0; at < 24; at += 2) p.pwrite(fd, pattern(2 * MIB, at * MIB), at * MIB);
      p.fsync(fd);
      for (let at = 22; at >= 0; at -= 2) {
        equal(p.pread(fd, 2 * MIB, at * MIB), pattern(2 * MIB, at * MIB), `content at ${at} MiB`);
      }
    },
  },
  "again-after-dropping-the-cache": () => {
    const fd = make("f", pattern(MIB));
    p.fsync(fd);
    p.fadvise(fd, 0, 0, 4);
    equal(p.pread(fd, MIB, 0), pattern(MIB), "content");
  },
  readv: () => {
    const fd = make("f", "abcdefgh");
    const parts = p.readv(fd, [3, 0, 2, 10]);
    equal(parts.map(String), ["abc", "", "de", "fgh"], "parts");
    equal(p.lseek(fd, 0, p.SEEK_CUR), 8, "offset");
  },
  writev: () => {
    const fd = make("f");
    equal(p.writev(fd, ["abc", "", "de"]), 5, "bytes written");
    equal(text("f"), "abcde", "content");
  },
  "writev-of-64-pieces": () => {
    const fd = make("f");
    const parts = Array.from({ length: 64 }, (_, index) => pattern(5000, index * 5000));
    equal(p.writev(fd, parts), 320_000, "bytes written");
    equal(get("f"), Buffer.concat(parts), "content");
  },
  preadv: () => {
    const fd = make("f", "abcdefgh");
    equal(p.preadv(fd, [2, 2], 3).map(String), ["de", "fg"], "parts");
    equal(p.lseek(fd, 0, p.SEEK_CUR), 0, "offset");
  },
  pwritev: () => {
    const fd = make("f", "abcdefgh");
    p.pwritev(fd, ["X", "YZ"], 2);
    equal(text("f"), "abXYZfgh", "content");
  },
  "pwritev2-append": () => {
    const fd = make("f", "abc");
    p.pwritev2(fd, ["de", "f"], 0, 0x10);
    equal(text("f"), "abcdef", "content");
  },
  "pwritev2-dsync": () => {
    const fd = make("f", "abc");
    p.pwritev2(fd, ["X"], 1, 0x2);
    equal(text("f"), "aXc", "content");
  },
  "vector-of-negative-offset": () => {
    const fd = make("f");
    refuses("EINVAL", () => p.pwritev(fd, ["x"], -5));
  },
  "two-descriptors-see-each-other": () => {
    const a = make("f");
    const b = p.open("f", p.O_RDWR);
    for (let round = 0; round < 50; round++) {
      p.pwrite(a, `a${round}`.padEnd(8), round * 16);
      holds(p.pread(b, 8, round * 16), `a${round}`.padEnd(8), "what b reads");
      p.pwrite(b, `b${round}`.padEnd(8), round * 16 + 8);
      holds(p.pread(a, 8, round * 16 + 8), `b${round}`.padEnd(8), "what a reads");
    }
  },
  "two-processes-see-each-other": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDWR);
    for (let round = 0; round < 20; round++) {
      p.pwrite(fd, `mine ${round}`, round * 5000);
      holds(await peer.pread(other, 20, round * 5000), `mine ${round}`, "what the peer reads");
      await peer.pwrite(other, `its ${round}`, round * 5000 + 2500);
      holds(p.pread(fd, 7, round * 5000 + 2500).subarray(0, 4), "its ", "what the case reads");
    }
  },
  "size-grows-for-others-at-once": async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    for (let round = 1; round <= 10; round++) {
      p.write(fd, pattern(10_000));
      equal((await peer.stat("f")).size, round * 10_000, "size the peer sees");
    }
  },
  "writer-closes-reader-reads": async (context) => {
    const peer = await context.peer();
    for (let round = 0; round < 10; round++) {
      const fd = await peer.open(`f${round}`, p.O_CREAT | p.O_WRONLY);
      await peer.write(fd, `round ${round}`);
      await peer.close(fd);
      equal(text(`f${round}`), `round ${round}`, "content");
    }
  },
  "overwrite-shorter-in-place": () => {
    put("f", "one long first text");
    const fd = p.open("f", p.O_WRONLY);
    p.write(fd, "THE");
    equal(text("f"), "THE long first text", "content");
  },
  "changes-mtime-and-ctime": () => {
    put("f", "data");
    const seen = changed("f", () => put("f", "more"));
    equal(seen, ["mtime", "ctime"], "changed times");
  },
  "beyond-the-file-size-limit": async (context) => {
    const peer = await context.peer();
    await peer.limitFileSize(8192n);
    const fd = await peer.open("f", p.O_CREAT | p.O_RDWR);
    equal(await peer.pwrite(fd, "x".repeat(100), 8150), 42, "bytes up to the limit");
    await rejects("EFBIG", peer.pwrite(fd, "x", 8192));
    await peer.actor.kill();
  },
});
