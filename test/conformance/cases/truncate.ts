/** truncate(2) and ftruncate(2). */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { allZero, changed, get, make, owned, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("truncate", {
  shrinks: () => {
    put("f", "abcdef");
    p.truncate("f", 3);
    equal(text("f"), "abc", "content");
  },
  "grows-with-zeros": () => {
    put("f", "abc");
    p.truncate("f", 6);
    equal(text("f"), "abc\0\0\0", "content");
  },
  "to-zero": () => {
    const fd = make("f", pattern(100_000));
    p.ftruncate(fd, 0);
    equal([p.fstat(fd).size, p.fstat(fd).blocks], [0, 0], "size and blocks");
  },
  "shrink-then-grow-shows-zeros": () => {
    const fd = make("f", pattern(20_000));
    p.ftruncate(fd, 5001);
    p.ftruncate(fd, 20_000);
    equal(p.pread(fd, 5001, 0), pattern(20_000).subarray(0, 5001), "what stays");
    allZero(p.pread(fd, 14_999, 5001), "what was cut");
  },
  "shrink-then-write-beyond": () => {
    const fd = make("f", "abcdefghij");
    p.ftruncate(fd, 2);
    p.pwrite(fd, "z", 6);
    equal(text("f"), "ab\0\0\0\0z", "content");
  },
  "keeps-the-offset": () => {
    const fd = make("f", "abcdef");
    p.lseek(fd, 5, p.SEEK_SET);
    p.ftruncate(fd, 2);
    equal(p.lseek(fd, 0, p.SEEK_CUR), 5, "offset");
    p.write(fd, "X");
    equal(text("f"), "ab\0\0\0X", "content");
  },
  "seen-by-open-descriptors": () => {
    const fd = make("f", "abcdef");
    p.truncate("f", 2);
    holds(p.pread(fd, 10, 0), "ab", "content");
    equal(p.fstat(fd).size, 2, "size");
  },
  "seen-by-another-process": async (context) => {
    const fd = make("f", pattern(50_000));
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDONLY);
    equal((await peer.pread(other, 50_000, 0)).length, 50_000, "bytes before");
    p.ftruncate(fd, 10);
    equal((await peer.pread(other, 50_000, 0)).length, 10, "bytes after");
    p.ftruncate(fd, 20);
    allZero(await peer.pread(other, 10, 10), "what was grown");
  },
  "at-page-borders": () => {
    for (const size of [4095, 4096, 4097, 131_072, 131_073]) {
      put(`f${size}`, pattern(200_000));
      p.truncate(`f${size}`, size);
      equal(get(`f${size}`), pattern(200_000).subarray(0, size), `content of ${size}`);
    }
  },
  directory: () => {
    p.mkdir("d");
    refuses("EISDIR", () => p.truncate("d", 0));
  },
  fifo: () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    refuses("EINVAL", () => p.truncate("fifo", 0));
  },
  "through-a-symlink": () => {
    put("f", "abcdef");
    p.symlink("f", "link");
    p.truncate("link", 1);
    equal(text("f"), "a", "content");
  },
  "negative-size": () => {
    const fd = make("f", "abc");
    refuses("EINVAL", () => p.truncate("f", -1));
    refuses("EINVAL", () => p.ftruncate(fd, -1));
  },
  "read-only-descriptor": () => {
    put("f", "abc");
    const fd = p.open("f", p.O_RDONLY);
    refuses("EINVAL", () => p.ftruncate(fd, 0));
  },
  "bad-descriptor": () => {
    refuses("EBADF", () => p.ftruncate(-1, 0));
  },
  "no-write-permission": async (context) => {
    owned("f", 0, 0, 0o644, "abc");
    const user = await context.user(1001);
    await rejects("EACCES", user.truncate("f", 0));
    equal(text("f"), "abc", "content");
  },
  "by-group-permission": async (context) => {
    owned("f", 0, 1002, 0o664, "abc");
    const user = await context.user(1001, 1001, [1002]);
    await user.truncate("f", 1);
    equal(text("f"), "a", "content");
  },
  "changes-times": () => {
    put("f", "abc");
    equal(
      changed("f", () => p.truncate("f", 1)),
      ["mtime", "ctime"],
      "times by truncate",
    );
    const fd = p.open("f", p.O_RDWR);
    equal(
      changed("f", () => p.ftruncate(fd, 5)),
      ["mtime", "ctime"],
      "times by ftruncate",
    );
  },
  "beyond-the-file-size-limit": async (context) => {
    const peer = await context.peer();
    await peer.limitFileSize(8192n);
    const fd = await peer.open("f", p.O_CREAT | p.O_RDWR);
    await peer.ftruncate(fd, 8192);
    await rejects("EFBIG", peer.ftruncate(fd, 8193));
    await peer.actor.kill();
  },
});
