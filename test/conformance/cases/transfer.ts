/** Copies that the kernel makes: copy_file_range, sendfile, splice. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses } from "../harness/expect.ts";
import { get, make, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const MIB = 1 << 20;

/** Copies until `size` bytes are there: one call may copy less. */
function copyAll(from: number, to: number, size: number): void {
  for (let left = size; left > 0; ) {
    left -= p.copyFileRange(from, undefined, to, undefined, left);
  }
}

export const cases = area("transfer", {
  "copy-whole-file": () => {
    const from = make("a", "some data");
    const to = make("b");
    equal(p.copyFileRange(from, undefined, to, undefined, 9), 9, "bytes copied");
    equal(text("b"), "some data", "content");
  },
  "copy-moves-both-offsets": () => {
    const from = make("a", "some data");
    const to = make("b");
    p.copyFileRange(from, undefined, to, undefined, 4);
    equal([p.lseek(from, 0, 1), p.lseek(to, 0, 1)], [4, 4], "offsets");
  },
  "copy-at-explicit-offsets": () => {
    const from = make("a", "0123456789");
    const to = make("b", "abcdefghij");
    p.copyFileRange(from, 2, to, 5, 3);
    equal(text("b"), "abcde234ij", "content");
    equal([p.lseek(from, 0, 1), p.lseek(to, 0, 1)], [0, 0], "offsets");
  },
  "copy-stops-at-the-end": () => {
    const from = make("a", "0123456789");
    const to = make("b");
    equal(p.copyFileRange(from, 6, to, 0, 100), 4, "bytes copied");
    equal(p.copyFileRange(from, 10, to, 4, 100), 0, "bytes copied at the end");
    equal(text("b"), "6789", "content");
  },
  "copy-leaves-a-hole": () => {
    const from = make("a", "data");
    const to = make("b");
    p.copyFileRange(from, 0, to, 10_000, 4);
    equal(p.fstat(to).size, 10_004, "size");
    holds(p.pread(to, 4, 10_000), "data", "content");
  },
  "copy-5-mib": () => {
    const from = make("a");
    for (let at = 0; at < 5; at++) p.pwrite(from, pattern(MIB, at * MIB), at * MIB);
    const to = make("b");
    copyAll(from, to, 5 * MIB);
    equal(get("b"), get("a"), "content");
  },
  "copy-of-what-was-just-written": () => {
    const from = make("a", "old");
    const to = make("b", "xxx");
    p.pwrite(from, "new", 0);
    p.copyFileRange(from, 0, to, 0, 3);
    equal(text("b"), "new", "content");
    p.pwrite(to, "N", 0);
    equal(text("b"), "New", "content written after");
  },
  "copy-inside-one-file": () => {
    const fd = make("a", "0123456789");
    p.copyFileRange(fd, 0, fd, 5, 5);
    equal(text("a"), "0123401234", "content");
  },
  "copy-overlapping": () => {
    const fd = make("a", "0123456789");
    refuses("EINVAL", () => p.copyFileRange(fd, 0, fd, 2, 5));
  },
  "copy-to-read-only": () => {
    const from = make("a", "data");
    put("b");
    const to = p.open("b", p.O_RDONLY);
    refuses("EBADF", () => p.copyFileRange(from, 0, to, 0, 4));
  },
  "copy-to-append": () => {
    const from = make("a", "data");
    const to = make("b", "", p.O_APPEND);
    refuses("EBADF", () => p.copyFileRange(from, 0, to, 0, 4));
  },
  "copy-of-directory": () => {
    p.mkdir("d");
    const from = p.open("d", p.O_RDONLY);
    const to = make("b");
    refuses("EISDIR", () => p.copyFileRange(from, undefined, to, undefined, 4));
  },
  "copy-changes-size-for-others": async (context) => {
    const from = make("a", pattern(10_000));
    const to = make("b");
    const peer = await context.peer();
    equal((await peer.stat("b")).size, 0, "size before");
    copyAll(from, to, 10_000);
    equal((await peer.stat("b")).size, 10_000, "size after");
  },
  "sendfile-to-pipe": () => {
    const from = make("a", pattern(20_000));
    const [out, into] = p.pipe();
    equal(p.sendfile(into, from, 20_000), 20_000, "bytes sent");
    equal(p.read(out, 20_000), pattern(20_000), "content");
    equal(p.lseek(from, 0, 1), 20_000, "offset");
  },
  "sendfile-to-file": () => {
    const from = make("a", pattern(MIB));
    const to = make("b");
    for (let sent = 0; sent < MIB; ) sent += p.sendfile(to, from, MIB - sent);
    equal(get("b"), pattern(MIB), "content");
  },
  "sendfile-with-offset": () => {
    const from = make("a", "0123456789");
    const to = make("b");
    equal(p.sendfile(to, from, 4, 3), 4, "bytes sent");
    equal(text("b"), "3456", "content");
    equal(p.lseek(from, 0, 1), 0, "offset");
  },
  "sendfile-at-the-end": () => {
    const from = make("a", "abc");
    const [, into] = p.pipe();
    equal(p.sendfile(into, from, 10, 3), 0, "bytes sent");
  },
  "splice-file-to-pipe": () => {
    const from = make("a", pattern(30_000));
    const [out, into] = p.pipe();
    const moved = p.splice(from, 4000, into, 20_000);
    equal(p.read(out, moved), pattern(moved, 4000), "content");
  },
  "splice-pipe-to-file": () => {
    const to = make("b");
    const [out, into] = p.pipe();
    p.write(into, pattern(40_000));
    for (let moved = 0; moved < 40_000; ) {
      moved += p.splice(out, undefined, to, 40_000 - moved);
    }
    equal(get("b"), pattern(40_000), "content");
  },
  "splice-file-to-file": () => {
    const from = make("a", "data");
    const to = make("b");
    refuses("EINVAL", () => p.splice(from, 0, to, 4));
  },
});
