/** rename(2) of files and links. */
import { area } from "../harness/case.ts";
import { check, equal, refuses, rejects } from "../harness/expect.ts";
import { absent, changed, make, owned, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("rename", {
  "new-name": () => {
    put("a", "data");
    const { ino } = p.stat("a");
    p.rename("a", "b");
    absent("a");
    equal(p.stat("b").ino, ino, "inode of b");
    equal(text("b"), "data", "content of b");
  },
  "over-a-file": () => {
    put("a", "new");
    put("b", "old");
    p.rename("a", "b");
    absent("a");
    equal(text("b"), "new", "content of b");
    equal(p.list("."), ["b"], "entries");
  },
  "over-an-open-file": () => {
    put("a", "new");
    const fd = make("b", "old");
    p.rename("a", "b");
    equal(p.pread(fd, 8, 0).toString(), "old", "content through the descriptor");
    equal(p.fstat(fd).nlink, 0, "links of the replaced file");
    equal(text("b"), "new", "content of b");
  },
  "open-file-follows": () => {
    const fd = make("a", "data");
    p.rename("a", "b");
    p.pwrite(fd, "DATA", 0);
    equal(text("b"), "DATA", "content of b");
  },
  "into-another-directory": () => {
    p.mkdir("from");
    p.mkdir("to");
    put("from/a", "data");
    p.rename("from/a", "to/b");
    equal(p.list("from"), [], "entries left");
    equal(text("to/b"), "data", "content");
  },
  "onto-itself": () => {
    put("a", "data");
    p.rename("a", "a");
    equal(text("a"), "data", "content");
  },
  "onto-hard-link-does-nothing": () => {
    put("a", "data");
    p.link("a", "b");
    p.rename("a", "b");
    equal(p.list("."), ["a", "b"], "entries");
    equal(p.stat("a").nlink, 2, "links");
  },
  "over-one-of-two-links": () => {
    put("a", "new");
    put("b", "old");
    p.link("b", "c");
    p.rename("a", "b");
    equal(p.stat("c").nlink, 1, "links of the other name");
    equal(text("c"), "old", "content of the other name");
  },
  "symlink-itself-moves": () => {
    put("target", "t");
    p.symlink("target", "link");
    p.rename("link", "moved");
    equal(p.readlink("moved").toString(), "target", "text of the link");
    equal(text("target"), "t", "content of the target");
  },
  "over-a-symlink-replaces-it": () => {
    put("target", "t");
    p.symlink("target", "link");
    put("a", "new");
    p.rename("a", "link");
    equal(p.lstat("link").mode & p.S_IFMT, p.S_IFREG, "type");
    equal(text("target"), "t", "content of the target");
  },
  "fifo-moves": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    p.rename("fifo", "moved");
    equal(p.lstat("moved").mode & p.S_IFMT, p.S_IFIFO, "type");
  },
  "missing-source": () => {
    refuses("ENOENT", () => p.rename("a", "b"));
  },
  "source-with-slash-is-file": () => {
    put("a");
    refuses("ENOTDIR", () => p.rename("a/", "b"));
  },
  "target-with-slash-source-is-file": () => {
    put("a");
    refuses("ENOTDIR", () => p.rename("a", "b/"));
  },
  "file-onto-directory": () => {
    put("a");
    p.mkdir("d");
    refuses("EISDIR", () => p.rename("a", "d"));
  },
  "directory-onto-file": () => {
    p.mkdir("d");
    put("a");
    refuses("ENOTDIR", () => p.rename("d", "a"));
  },
  "dot-as-source": () => {
    refuses("EBUSY", () => p.rename(".", "b"));
  },
  "dot-dot-as-target": () => {
    p.mkdir("d");
    put("a");
    refuses("EBUSY", () => p.rename("a", "d/.."));
  },
  "unknown-flag": () => {
    put("a");
    refuses("EINVAL", () => p.rename("a", "b", 0x80));
  },
  "by-directory-descriptors": () => {
    p.mkdir("from");
    p.mkdir("to");
    put("from/a", "data");
    const from = p.open("from", p.O_RDONLY | p.O_DIRECTORY);
    const to = p.open("to", p.O_PATH | p.O_DIRECTORY);
    p.renameat(from, "a", to, "b");
    equal(text("to/b"), "data", "content");
  },
  "long-names": () => {
    const name = "n".repeat(255);
    put("a", "data");
    p.rename("a", name);
    equal(text(name), "data", "content");
    p.rename(name, "m".repeat(255));
    equal(p.list("."), ["m".repeat(255)], "entries");
  },
  "changes-ctime-of-the-file": () => {
    put("a");
    put("other");
    const before = p.stat("a");
    p.pause(15);
    p.rename("a", "b");
    check(p.stat("b").ctime >= before.ctime, "ctime went back");
    equal(p.stat("b").mtime, before.mtime, "mtime of the file");
  },
  "changes-times-of-the-directories": () => {
    p.mkdir("from");
    p.mkdir("to");
    put("from/a");
    const seen = changed("to", () => p.rename("from/a", "to/a"));
    equal(seen, ["mtime", "ctime"], "changed times of the target directory");
    const left = changed("to", () => p.rename("to/a", "from/a"));
    equal(left, ["mtime", "ctime"], "changed times of the source directory");
  },
  "seen-by-another-process": async (context) => {
    put("a", "data");
    const peer = await context.peer();
    equal((await peer.stat("a")).size, 4, "size before");
    p.rename("a", "b");
    await rejects("ENOENT", peer.stat("a"));
    equal((await peer.stat("b")).size, 4, "size after");
  },
  "source-directory-not-writable": async (context) => {
    p.mkdir("from");
    owned("from/a", 1001, 1001, 0o644);
    p.mkdir("to");
    p.chmod("to", 0o777);
    const user = await context.user(1001);
    await rejects("EACCES", user.rename("from/a", "to/a"));
  },
  "target-directory-not-writable": async (context) => {
    p.mkdir("from");
    p.chmod("from", 0o777);
    owned("from/a", 1001, 1001, 0o644);
    p.mkdir("to");
    const user = await context.user(1001);
    await rejects("EACCES", user.rename("from/a", "to/a"));
  },
  "file-of-another-user": async (context) => {
    p.chmod(".", 0o777);
    owned("a", 0, 0, 0o600);
    const user = await context.user(1001);
    await user.rename("a", "b");
    equal(p.stat("b").uid, 0, "owner");
  },
});
