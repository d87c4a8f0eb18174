/** symlink(2) and readlink(2), and following links. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { absent, changed, ownedDirectory, put, text, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("symlink", {
  "reads-back": () => {
    p.symlink("some/target", "link");
    holds(p.readlink("link"), "some/target", "text");
    equal(typeOf("link"), p.S_IFLNK, "type");
  },
  "size-is-the-length": () => {
    p.symlink("some/target", "link");
    equal(p.lstat("link").size, 11, "size");
  },
  "mode-is-0777": () => {
    p.umask(0o077);
    p.symlink("x", "link");
    equal(p.lstat("link").mode & 0o7777, 0o777, "mode");
  },
  "relative-follows": () => {
    p.mkdir("d");
    put("d/f", "data");
    p.symlink("d/f", "link");
    equal(text("link"), "data", "content");
  },
  "relative-to-its-own-directory": () => {
    p.mkdir("d");
    put("f", "outer");
    p.symlink("../f", "d/link");
    equal(text("d/link"), "outer", "content");
  },
  "absolute-follows": (context) => {
    put("f", "data");
    p.symlink(`${context.directory}/f`, "link");
    equal(text("link"), "data", "content");
  },
  "to-a-directory": () => {
    p.mkdir("d");
    put("d/f", "data");
    p.symlink("d", "link");
    equal(text("link/f"), "data", "content");
    equal(p.stat("link").ino, p.stat("d").ino, "inodes");
  },
  "to-a-directory-with-slash": () => {
    p.mkdir("d");
    p.symlink("d", "link");
    equal(p.lstat("link/").ino, p.stat("d").ino, "inodes");
  },
  "to-a-file-with-slash": () => {
    put("f");
    p.symlink("f", "link");
    refuses("ENOTDIR", () => p.stat("link/"));
  },
  "through-the-mount-from-outside": () => {
    p.symlink("/proc/self/comm", "link");
    equal(p.stat("link").mode & p.S_IFMT, p.S_IFREG, "type of a target elsewhere");
  },
  dangling: () => {
    p.symlink("nowhere", "link");
    refuses("ENOENT", () => p.stat("link"));
    refuses("ENOENT", () => p.open("link", p.O_RDONLY));
    equal(typeOf("link"), p.S_IFLNK, "type");
  },
  "dangling-is-filled-by-create": () => {
    p.symlink("target", "link");
    put("link", "data");
    equal(text("target"), "data", "content");
    equal(typeOf("link"), p.S_IFLNK, "type");
  },
  "40-in-a-chain": () => {
    put("link0", "end");
    for (let index = 1; index <= 40; index++) p.symlink(`link${index - 1}`, `link${index}`);
    equal(text("link40"), "end", "content");
    p.symlink("link40", "link41");
    refuses("ELOOP", () => p.stat("link41"));
  },
  "to-itself": () => {
    p.symlink("link", "link");
    refuses("ELOOP", () => p.stat("link"));
    equal(typeOf("link"), p.S_IFLNK, "type");
  },
  "two-in-a-circle": () => {
    p.symlink("b", "a");
    p.symlink("a", "b");
    refuses("ELOOP", () => p.open("a", p.O_RDONLY));
  },
  "onto-existing": () => {
    put("f");
    refuses("EEXIST", () => p.symlink("x", "f"));
  },
  "empty-target": () => {
    refuses("ENOENT", () => p.symlink("", "link"));
  },
  "target-of-4095": () => {
    const target = "t".repeat(4095);
    p.symlink(target, "link");
    holds(p.readlink("link"), target, "text");
    equal(p.lstat("link").size, 4095, "size");
  },
  "target-of-4096": () => {
    refuses("ENAMETOOLONG", () => p.symlink("t".repeat(4096), "link"));
  },
  "targets-of-59-to-61": () => {
    // ext4 keeps links below 60 bytes in the inode and longer ones in a block.
    for (const length of [1, 59, 60, 61, 255, 256, 1024]) {
      p.symlink("t".repeat(length), `link${length}`);
      equal(p.readlink(`link${length}`).length, length, "length");
    }
  },
  "target-of-any-bytes": () => {
    const target = Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1));
    p.symlink(target, "link");
    equal(p.readlink("link"), target, "text");
  },
  "readlink-cuts": () => {
    p.symlink("abcdef", "link");
    holds(p.readlink("link", 3), "abc", "text of 3 bytes");
    holds(p.readlink("link", 6), "abcdef", "text of 6 bytes");
    holds(p.readlink("link", 7), "abcdef", "text of 7 bytes");
  },
  "readlink-of-size-0": () => {
    p.symlink("abc", "link");
    refuses("EINVAL", () => p.readlink("link", 0));
  },
  "readlink-of-file": () => {
    put("f");
    refuses("EINVAL", () => p.readlink("f"));
  },
  "readlink-of-directory": () => {
    p.mkdir("d");
    refuses("EINVAL", () => p.readlink("d"));
  },
  "readlink-by-descriptor": () => {
    p.symlink("abc", "link");
    const fd = p.open("link", p.O_PATH | p.O_NOFOLLOW);
    holds(p.readlink("", 100, fd), "abc", "text");
  },
  "own-owner": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    await user.symlink("x", "link");
    equal(p.lstat("link").uid, 1001, "owner");
    p.lchown("link", 1002, 1002);
    equal(p.lstat("link").uid, 1002, "owner after lchown");
  },
  "directory-not-writable": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.symlink("x", "link"));
  },
  "target-directory-not-searchable": async (context) => {
    ownedDirectory("d", 0, 0, 0o700);
    put("d/f");
    p.symlink("d/f", "link");
    const user = await context.user(1001);
    await rejects("EACCES", user.stat("link"));
    holds(await user.readlink("link"), "d/f", "text");
  },
  "changes-times-of-the-directory": () => {
    p.mkdir("d");
    equal(
      changed("d", () => p.symlink("x", "d/link")),
      ["mtime", "ctime"],
      "changed times",
    );
  },
  "retargeted-by-rename": async (context) => {
    put("a", "A");
    put("b", "B");
    p.symlink("a", "link");
    const peer = await context.peer();
    holds(await peer.readlink("link"), "a", "text before");
    p.symlink("b", "new");
    p.rename("new", "link");
    holds(await peer.readlink("link"), "b", "text after");
    equal(text("link"), "B", "content");
    absent("new");
  },
});
