/** link(2) and linkat(2). */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { changed, make, modeOf, put, text, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("link", {
  "shares-the-inode": () => {
    put("a", "data");
    p.link("a", "b");
    const [a, b] = [p.stat("a"), p.stat("b")];
    equal(a.ino, b.ino, "inodes");
    equal([a.nlink, b.nlink], [2, 2], "links");
  },
  "shares-the-data": () => {
    put("a", "data");
    p.link("a", "b");
    const fd = p.open("b", p.O_RDWR);
    p.pwrite(fd, "DATA!", 0);
    equal(text("a"), "DATA!", "content");
    p.truncate("a", 1);
    equal(text("b"), "D", "content after truncate");
  },
  "shares-mode-and-owner": () => {
    put("a");
    p.link("a", "b");
    p.chmod("a", 0o604);
    equal(modeOf("b"), 0o604, "mode");
    p.chown("b", 1001, 1001);
    equal(p.stat("a").uid, 1001, "owner");
  },
  "shares-xattrs": () => {
    put("a");
    p.link("a", "b");
    p.setxattr("a", "user.x", "1");
    holds(p.getxattr("b", "user.x"), "1", "value");
  },
  "shares-times": () => {
    put("a");
    p.link("a", "b");
    p.utimens("a", 5n, 7n);
    const { atime, mtime } = p.stat("b");
    equal([atime, mtime], [5n, 7n], "times");
  },
  "five-names": () => {
    put("f0", "x");
    for (let index = 1; index < 5; index++) p.link("f0", `f${index}`);
    equal(p.stat("f3").nlink, 5, "links");
    for (let index = 0; index < 4; index++) p.unlink(`f${index}`);
    equal(p.stat("f4").nlink, 1, "links left");
    equal(text("f4"), "x", "content");
  },
  "across-directories": () => {
    p.mkdir("d");
    put("a", "data");
    p.link("a", "d/b");
    equal(p.stat("d/b").ino, p.stat("a").ino, "inodes");
  },
  "entry-has-the-same-inode": () => {
    put("a");
    p.link("a", "b");
    const [a, b] = p.entries(".");
    equal(a?.ino, b?.ino, "inodes in the listing");
    equal(a?.ino, p.stat("a").ino, "inode in the listing and in stat");
  },
  "of-a-symlink-is-a-symlink": () => {
    put("f");
    p.symlink("f", "link");
    p.link("link", "other");
    equal(typeOf("other"), p.S_IFLNK, "type");
    equal(p.lstat("other").ino, p.lstat("link").ino, "inodes");
    equal(p.lstat("link").nlink, 2, "links");
  },
  "of-a-symlink-followed": () => {
    put("f");
    p.symlink("f", "link");
    p.linkat(p.AT_FDCWD, "link", p.AT_FDCWD, "other", p.AT_SYMLINK_FOLLOW);
    equal(p.lstat("other").ino, p.lstat("f").ino, "inodes");
  },
  "of-a-dangling-symlink": () => {
    p.symlink("nowhere", "link");
    p.link("link", "other");
    equal(p.readlink("other").toString(), "nowhere", "text");
  },
  "of-a-fifo": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    p.link("fifo", "other");
    equal(typeOf("other"), p.S_IFIFO, "type");
  },
  "of-a-directory": () => {
    p.mkdir("d");
    refuses("EPERM", () => p.link("d", "e"));
  },
  "onto-existing": () => {
    put("a");
    put("b");
    refuses("EEXIST", () => p.link("a", "b"));
  },
  "onto-dangling-symlink": () => {
    put("a");
    p.symlink("nowhere", "b");
    refuses("EEXIST", () => p.link("a", "b"));
  },
  "onto-itself": () => {
    put("a");
    refuses("EEXIST", () => p.link("a", "a"));
  },
  "missing-source": () => {
    refuses("ENOENT", () => p.link("a", "b"));
  },
  "new-name-with-slash": () => {
    put("a");
    refuses("ENOENT", () => p.link("a", "b/"));
  },
  "to-another-file-system": () => {
    refuses("EXDEV", () => p.link("/proc/self/comm", "b"));
  },
  "directory-not-writable": async (context) => {
    put("a");
    p.chown("a", 1001, 1001);
    const user = await context.user(1001);
    await rejects("EACCES", user.link("a", "b"));
  },
  "by-descriptor-and-empty-path": () => {
    const fd = make("a", "data");
    p.linkat(fd, "", p.AT_FDCWD, "b", p.AT_EMPTY_PATH);
    equal(p.stat("b").ino, p.stat("a").ino, "inodes");
  },
  "by-proc-link": () => {
    const fd = p.open("a", p.O_CREAT | p.O_RDWR);
    p.linkat(p.AT_FDCWD, `/proc/self/fd/${fd}`, p.AT_FDCWD, "b", p.AT_SYMLINK_FOLLOW);
    equal(p.stat("b").ino, p.stat("a").ino, "inodes");
  },
  "changes-ctime-only": () => {
    put("a");
    equal(
      changed("a", () => p.link("a", "b")),
      ["ctime"],
      "changed times",
    );
  },
  "changes-times-of-the-directory": () => {
    p.mkdir("d");
    put("a");
    equal(
      changed("d", () => p.link("a", "d/b")),
      ["mtime", "ctime"],
      "changed times",
    );
  },
  "seen-by-another-process": async (context) => {
    put("a");
    const peer = await context.peer();
    equal((await peer.stat("a")).nlink, 1, "links before");
    p.link("a", "b");
    equal((await peer.stat("a")).nlink, 2, "links after");
  },
  "unknown-flag": () => {
    put("a");
    refuses("EINVAL", () => p.linkat(p.AT_FDCWD, "a", p.AT_FDCWD, "b", 0x8000));
  },
});
