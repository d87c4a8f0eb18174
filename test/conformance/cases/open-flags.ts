/** Flags of open(2) that change what reads and writes do. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses, rejects } from "../harness/expect.ts";
import { age, changed, get, make, owned, pattern, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { O_APPEND, O_CREAT, O_DIRECT, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = p;

export const cases = area("open-flags", {
  "trunc-empties": () => {
    put("f", "data");
    const { ino } = p.stat("f");
    p.open("f", O_WRONLY | O_TRUNC);
    equal([p.stat("f").size, p.stat("f").ino], [0, ino], "size and inode");
  },
  "trunc-keeps-mode-and-xattrs": () => {
    put("f", "data", 0o640);
    p.setxattr("f", "user.a", "1");
    p.open("f", O_WRONLY | O_TRUNC | O_CREAT, 0o600);
    equal(p.stat("f").mode & 0o777, 0o640, "mode");
    equal(p.listxattr("f"), ["user.a"], "xattrs");
  },
  "trunc-seen-by-open-reader": () => {
    const fd = make("f", "data");
    p.close(p.open("f", O_WRONLY | O_TRUNC));
    equal(p.fstat(fd).size, 0, "size");
    holds(p.pread(fd, 8, 0), "", "content");
  },
  "trunc-changes-times": () => {
    put("f", "data");
    const seen = changed("f", () => p.close(p.open("f", O_WRONLY | O_TRUNC)));
    equal(seen, ["mtime", "ctime"], "changed times");
  },
  "trunc-needs-write-permission": async (context) => {
    owned("f", 0, 0, 0o644, "data");
    const user = await context.user(1001);
    await rejects("EACCES", user.open("f", O_RDONLY | O_TRUNC));
    equal(text("f"), "data", "content");
  },
  "append-writes-at-the-end": () => {
    put("f", "abc");
    const fd = p.open("f", O_WRONLY | O_APPEND);
    p.write(fd, "def");
    equal(text("f"), "abcdef", "content");
  },
  "append-after-seek": () => {
    put("f", "abc");
    const fd = p.open("f", O_RDWR | O_APPEND);
    p.lseek(fd, 0, p.SEEK_SET);
    p.write(fd, "def");
    equal(text("f"), "abcdef", "content");
    equal(p.lseek(fd, 0, p.SEEK_CUR), 6, "offset after the write");
  },
  "append-pwrite-appends-too": () => {
    put("f", "abc");
    const fd = p.open("f", O_WRONLY | O_APPEND);
    // pwrite(2), BUGS: on Linux the data is appended regardless of the offset.
    p.pwrite(fd, "def", 0);
    equal(text("f"), "abcdef", "content");
  },
  "append-reads-anywhere": () => {
    const fd = make("f", "abc", O_APPEND);
    holds(p.pread(fd, 2, 1), "bc", "content");
    holds(p.read(fd, 2), "ab", "content at offset 0");
  },
  "append-after-growth-by-another": async (context) => {
    const fd = make("f", "a", O_APPEND);
    const peer = await context.peer();
    const other = await peer.open("f", O_WRONLY | O_APPEND);
    for (let round = 0; round < 20; round++) {
      p.write(fd, "1");
      await peer.write(other, "2");
    }
    equal(text("f"), `a${"12".repeat(20)}`, "content");
  },
  "append-after-truncate-by-another": async (context) => {
    const fd = make("f", "abcdef", O_APPEND);
    const peer = await context.peer();
    await peer.truncate("f", 2);
    p.write(fd, "X");
    equal(text("f"), "abX", "content");
  },
  "append-set-later": () => {
    const fd = make("f", "abc");
    p.setStatusFlags(fd, O_APPEND);
    p.write(fd, "def");
    p.setStatusFlags(fd, 0);
    p.lseek(fd, 0, p.SEEK_SET);
    p.write(fd, "X");
    equal(text("f"), "Xbcdef", "content");
  },
  "append-writev": () => {
    const fd = make("f", "abc", O_APPEND);
    p.writev(fd, ["d", "ef", "g"]);
    equal(text("f"), "abcdefg", "content");
  },
  "status-flags-are-told": () => {
    put("f");
    const fd = p.open("f", O_RDWR | O_APPEND | p.O_NONBLOCK | p.O_DSYNC);
    const flags = p.getStatusFlags(fd);
    equal(flags & 3, O_RDWR, "access mode");
    equal(flags & O_APPEND, O_APPEND, "append");
    equal(flags & p.O_DSYNC, p.O_DSYNC, "dsync");
    equal(flags & p.O_NONBLOCK, p.O_NONBLOCK, "nonblock");
  },
  "nofollow-symlink": () => {
    put("f");
    p.symlink("f", "link");
    refuses("ELOOP", () => p.open("link", O_RDONLY | O_NOFOLLOW));
    refuses("ELOOP", () => p.open("link", O_WRONLY | O_CREAT | O_NOFOLLOW));
  },
  "nofollow-directory-symlink": () => {
    p.mkdir("d");
    p.symlink("d", "link");
    refuses("ENOTDIR", () => p.open("link", O_RDONLY | O_NOFOLLOW | p.O_DIRECTORY));
  },
  "nofollow-follows-on-the-way": () => {
    p.mkdir("d");
    put("d/f", "data");
    p.symlink("d", "link");
    holds(p.read(p.open("link/f", O_RDONLY | O_NOFOLLOW), 8), "data", "content");
  },
  "path-fstat": () => {
    put("f", "data");
    const fd = p.open("f", O_PATH);
    equal([p.fstat(fd).size, p.fstat(fd).ino], [4, p.stat("f").ino], "size and inode");
  },
  "path-is-not-read-or-written": () => {
    put("f", "data");
    const fd = p.open("f", O_PATH);
    refuses("EBADF", () => p.read(fd, 1));
    refuses("EBADF", () => p.write(fd, "x"));
    refuses("EBADF", () => p.fchmod(fd, 0o600));
    refuses("EBADF", () => p.fgetxattr(fd, "user.a"));
    refuses("EBADF", () => p.ftruncate(fd, 0));
  },
  "path-needs-no-permission": async (context) => {
    owned("f", 0, 0, 0, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", O_PATH);
    equal((await user.fstat(fd)).size, 4, "size");
    await rejects("EACCES", user.open(`/proc/self/fd/${fd}`, O_RDONLY));
  },
  "path-of-directory-opens-below": () => {
    p.mkdir("d");
    put("d/f", "data");
    const dir = p.open("d", O_PATH);
    holds(p.read(p.openat(dir, "f", O_RDONLY), 8), "data", "content");
    p.mkdir("e", 0o755, dir);
    equal(p.list("d"), ["e", "f"], "entries");
  },
  "path-of-symlink": () => {
    p.symlink("nowhere", "link");
    const fd = p.open("link", O_PATH | O_NOFOLLOW);
    equal(p.fstat(fd).mode & p.S_IFMT, p.S_IFLNK, "type");
  },
  "path-reopens-through-proc": () => {
    put("f", "data");
    const fd = p.open("f", O_PATH);
    p.rename("f", "g");
    const again = p.open(`/proc/self/fd/${fd}`, O_RDWR);
    p.pwrite(again, "D", 0);
    equal(text("g"), "Data", "content");
  },
  "path-of-fifo-does-not-wait": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    const fd = p.open("fifo", O_PATH);
    equal(p.fstat(fd).mode & p.S_IFMT, p.S_IFIFO, "type");
  },
  "sync-writes": () => {
    const fd = p.open("f", O_CREAT | O_RDWR | p.O_SYNC);
    p.write(fd, "data");
    p.pwrite(fd, "more", 4096);
    equal(p.fstat(fd).size, 4100, "size");
    holds(p.pread(fd, 4, 4096), "more", "content");
  },
  "dsync-writes": () => {
    const fd = p.open("f", O_CREAT | O_RDWR | p.O_DSYNC);
    for (let index = 0; index < 10; index++) p.write(fd, `line ${index}\n`);
    equal(text("f").split("\n").length, 11, "lines");
  },
  "direct-round-trip": () => {
    const fd = p.open("f", O_CREAT | O_RDWR | O_DIRECT);
    const data = pattern(64 * 4096);
    equal(p.pwrite(fd, data, 0), data.length, "bytes written");
    equal(p.pread(fd, data.length, 0), data, "content");
    equal(get("f"), data, "content through the page cache");
  },
  "direct-sees-buffered-writes": () => {
    const buffered = make("f", pattern(8192));
    const direct = p.open("f", O_RDWR | O_DIRECT);
    p.pwrite(buffered, pattern(4096, 77777), 4096);
    equal(p.pread(direct, 4096, 4096), pattern(4096, 77777), "content read directly");
    p.pwrite(direct, pattern(4096, 99999), 0);
    equal(p.pread(buffered, 4096, 0), pattern(4096, 99999), "content read through the cache");
  },
  "direct-reads-a-short-end": () => {
    put("f", "data");
    const fd = p.open("f", O_RDONLY | O_DIRECT);
    holds(p.pread(fd, 4096, 0), "data", "content");
    holds(p.pread(fd, 4096, 4096), "", "content beyond the end");
  },
  "noatime-by-owner": () => {
    put("f", "data");
    age("f");
    const { atime } = p.stat("f");
    p.read(p.open("f", O_RDONLY | p.O_NOATIME), 4);
    equal(p.stat("f").atime, atime, "atime");
  },
  "noatime-by-another": async (context) => {
    owned("f", 0, 0, 0o644);
    const user = await context.user(1001);
    await rejects("EPERM", user.open("f", O_RDONLY | p.O_NOATIME));
  },
  "cloexec-is-kept": () => {
    const fd = make("f");
    check((p.getDescriptorFlags(fd) & 1) === 1, "the descriptor is not close-on-exec");
  },
});
