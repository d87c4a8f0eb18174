/** rename(2) of directories. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { absent, owned, ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("rename-directory", {
  "with-its-content": () => {
    p.mkdir("a");
    put("a/f", "data");
    p.rename("a", "b");
    equal(text("b/f"), "data", "content");
    absent("a");
  },
  "onto-empty-directory": () => {
    p.mkdir("a");
    put("a/f");
    p.mkdir("b");
    p.rename("a", "b");
    equal(p.list("b"), ["f"], "entries");
  },
  "onto-non-empty-directory": () => {
    p.mkdir("a");
    p.mkdir("b");
    put("b/f");
    refuses("ENOTEMPTY", () => p.rename("a", "b"));
    equal(p.list("."), ["a", "b"], "entries");
  },
  "into-itself": () => {
    p.mkdir("a");
    refuses("EINVAL", () => p.rename("a", "a/b"));
  },
  "into-own-subtree": () => {
    p.mkdir("a");
    p.mkdir("a/b");
    p.mkdir("a/b/c");
    refuses("EINVAL", () => p.rename("a", "a/b/c/d"));
    equal(p.list("a/b"), ["c"], "entries");
  },
  "onto-own-ancestor": () => {
    p.mkdir("a");
    p.mkdir("a/b");
    refuses("ENOTEMPTY", () => p.rename("a/b", "a"));
  },
  "onto-itself": () => {
    p.mkdir("a");
    put("a/f");
    p.rename("a", "a");
    equal(p.list("a"), ["f"], "entries");
  },
  "to-another-parent-changes-links": () => {
    p.mkdir("from");
    p.mkdir("to");
    p.mkdir("from/a");
    p.rename("from/a", "to/a");
    equal(p.stat("from").nlink, 2, "links of the old parent");
    equal(p.stat("to").nlink, 3, "links of the new parent");
  },
  "to-another-parent-changes-dot-dot": () => {
    p.mkdir("from");
    p.mkdir("to");
    p.mkdir("from/a");
    p.rename("from/a", "to/a");
    equal(p.stat("to/a/..").ino, p.stat("to").ino, "inode of ..");
  },
  "replacing-keeps-parent-links": () => {
    p.mkdir("a");
    p.mkdir("b");
    const before = p.stat(".").nlink;
    p.rename("a", "b");
    equal(p.stat(".").nlink, before - 1, "links of the parent");
  },
  "replaced-directory-stays-open": () => {
    p.mkdir("a");
    p.mkdir("b");
    const fd = p.open("b", p.O_RDONLY | p.O_DIRECTORY);
    p.rename("a", "b");
    equal(p.fstat(fd).nlink, 0, "links of the replaced directory");
    refuses("ENOENT", () => p.openat(fd, "f", p.O_CREAT | p.O_WRONLY));
  },
  "open-directory-follows": () => {
    p.mkdir("a");
    const fd = p.open("a", p.O_RDONLY | p.O_DIRECTORY);
    p.rename("a", "b");
    p.close(p.openat(fd, "f", p.O_CREAT | p.O_WRONLY));
    equal(p.list("b"), ["f"], "entries");
  },
  "trailing-slashes": () => {
    p.mkdir("a");
    p.rename("a/", "b/");
    equal(p.list("."), ["b"], "entries");
  },
  "working-directory-moves": () => {
    p.mkdir("a");
    p.chdir("a");
    p.rename("../a", "../b");
    equal(p.getcwd().endsWith("/b"), true, "the working directory ends with the new name");
    put("f", "data");
    equal(text("../b/f"), "data", "content");
  },
  "deep-tree-moves": () => {
    for (const path of ["a", "a/b", "a/b/c", "a/b/c/d"]) p.mkdir(path);
    put("a/b/c/d/f", "deep");
    p.mkdir("to");
    p.rename("a/b", "to/x");
    equal(text("to/x/c/d/f"), "deep", "content");
    equal(p.list("a"), [], "entries left");
  },
  "symlink-to-directory-is-no-directory": () => {
    p.mkdir("real");
    p.symlink("real", "link");
    p.mkdir("a");
    refuses("ENOTDIR", () => p.rename("a", "link"));
  },
  "not-own-directory-to-another-parent": async (context) => {
    p.mkdir("from");
    p.chmod("from", 0o777);
    p.mkdir("to");
    p.chmod("to", 0o777);
    ownedDirectory("from/a", 0, 0, 0o755);
    const user = await context.user(1001);
    // Its ".." would change, which needs the right to write into it.
    await rejects("EACCES", user.rename("from/a", "to/a"));
    await user.rename("from/a", "from/b");
  },
  "sticky-parent-protects": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    owned("d/f", 1002, 1002, 0o666);
    const user = await context.user(1001);
    await rejects("EPERM", user.rename("d/f", "d/g"));
  },
  "sticky-target-protects": async (context) => {
    p.chmod(".", 0o777);
    ownedDirectory("d", 0, 0, 0o1777);
    owned("d/f", 1002, 1002, 0o666);
    owned("mine", 1001, 1001, 0o644);
    const user = await context.user(1001);
    await rejects("EPERM", user.rename("mine", "d/f"));
  },
});
