/** mkdir(2) and rmdir(2). */
import { area } from "../harness/case.ts";
import { check, equal, refuses, rejects } from "../harness/expect.ts";
import { absent, changed, modeOf, ownedDirectory, put, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("mkdir", {
  "makes-a-directory": () => {
    p.mkdir("d");
    equal(typeOf("d"), p.S_IFDIR, "type");
    equal(p.stat("d").nlink, 2, "links");
    equal(p.list("d"), [], "entries");
  },
  "counts-in-the-parent": () => {
    p.mkdir("d");
    p.mkdir("d/a");
    p.mkdir("d/b");
    equal(p.stat("d").nlink, 4, "links");
    p.rmdir("d/a");
    equal(p.stat("d").nlink, 3, "links after rmdir");
  },
  "mode-and-umask": () => {
    p.umask(0o027);
    p.mkdir("d", 0o777);
    equal(modeOf("d"), 0o750, "mode");
  },
  "mode-0": () => {
    p.mkdir("d", 0);
    equal(modeOf("d"), 0, "mode");
  },
  "sticky-bit-by-mkdir": () => {
    p.mkdir("d", 0o1755);
    equal(modeOf("d"), 0o1755, "mode");
  },
  "owner-is-the-caller": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001, 1002);
    await user.mkdir("d");
    const { uid, gid } = p.stat("d");
    equal([uid, gid], [1001, 1002], "owner and group");
  },
  "existing-directory": () => {
    p.mkdir("d");
    refuses("EEXIST", () => p.mkdir("d"));
  },
  "existing-file": () => {
    put("f");
    refuses("EEXIST", () => p.mkdir("f"));
  },
  "existing-dangling-symlink": () => {
    p.symlink("nowhere", "link");
    refuses("EEXIST", () => p.mkdir("link"));
    absent("nowhere");
  },
  dot: () => {
    refuses("EEXIST", () => p.mkdir("."));
  },
  "dot-dot": () => {
    p.mkdir("d");
    refuses("EEXIST", () => p.mkdir("d/.."));
  },
  "trailing-slash": () => {
    p.mkdir("d/");
    equal(typeOf("d"), p.S_IFDIR, "type");
  },
  "trailing-slashes-and-dot": () => {
    refuses("ENOENT", () => p.mkdir("d/."));
  },
  "parent-not-writable": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.mkdir("d"));
  },
  "relative-to-descriptor": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    p.mkdir("e", 0o755, fd);
    equal(p.list("d"), ["e"], "entries");
  },
  "name-of-255": () => {
    p.mkdir("d".repeat(255));
    equal(p.list("."), ["d".repeat(255)], "entries");
  },
  "changes-parent-times": () => {
    p.mkdir("d");
    equal(
      changed("d", () => p.mkdir("d/e")),
      ["mtime", "ctime"],
      "times by mkdir",
    );
    equal(
      changed("d", () => p.rmdir("d/e")),
      ["mtime", "ctime"],
      "times by rmdir",
    );
  },
  "in-a-removed-directory": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    p.rmdir("d");
    refuses("ENOENT", () => p.mkdir("e", 0o755, fd));
  },
  "deep-200": () => {
    const path = Array.from({ length: 200 }, () => "d");
    path.forEach((_, depth) => {
      p.mkdir(path.slice(0, depth + 1).join("/"));
    });
    put(`${path.join("/")}/f`, "x");
    equal(p.stat(`${path.join("/")}/f`).size, 1, "size");
  },
});

export const removal = area("rmdir", {
  "removes-empty": () => {
    p.mkdir("d");
    p.rmdir("d");
    absent("d");
  },
  "not-empty": () => {
    p.mkdir("d");
    put("d/f");
    refuses("ENOTEMPTY", () => p.rmdir("d"));
    p.unlink("d/f");
    p.rmdir("d");
  },
  "not-empty-by-directory": () => {
    p.mkdir("d");
    p.mkdir("d/e");
    refuses("ENOTEMPTY", () => p.rmdir("d"));
  },
  missing: () => {
    refuses("ENOENT", () => p.rmdir("d"));
  },
  "is-file": () => {
    put("f");
    refuses("ENOTDIR", () => p.rmdir("f"));
  },
  "is-symlink-to-directory": () => {
    p.mkdir("d");
    p.symlink("d", "link");
    refuses("ENOTDIR", () => p.rmdir("link"));
  },
  dot: () => {
    p.mkdir("d");
    refuses("EINVAL", () => p.rmdir("d/."));
  },
  "dot-dot": () => {
    p.mkdir("d");
    refuses("ENOTEMPTY", () => p.rmdir("d/.."));
  },
  "trailing-slash": () => {
    p.mkdir("d");
    p.rmdir("d/");
    absent("d");
  },
  "open-directory-reads-empty": () => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    p.rmdir("d");
    equal(p.fstat(fd).nlink, 0, "links");
    refuses("ENOENT", () => p.openat(fd, "f", p.O_CREAT | p.O_WRONLY));
    // Linux refuses getdents of a dead directory, whatever the file system.
    refuses("ENOENT", () => p.getdents(fd));
  },
  "another-process-works-there": async (context) => {
    p.mkdir("d");
    const peer = await context.peer();
    await peer.chdir("d");
    p.rmdir("d");
    await rejects("ENOENT", peer.open("f", p.O_CREAT | p.O_WRONLY));
    await rejects("ENOENT", peer.getcwd());
  },
  "parent-not-writable": async (context) => {
    ownedDirectory("d", 1001, 1001, 0o755);
    const user = await context.user(1001);
    await rejects("EACCES", user.rmdir("d"));
  },
  "again-under-the-same-name": () => {
    p.mkdir("d");
    const { ino } = p.stat("d");
    const fd = p.open("d", p.O_PATH);
    p.rmdir("d");
    p.mkdir("d");
    put("d/f");
    check(p.stat("d").ino !== ino, "two directories have one inode number");
    equal(p.fstat(fd).nlink, 0, "links of the first one");
  },
});
