/** unlink(2), and life of a file without a name. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { absent, changed, make, owned, ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("unlink", {
  file: () => {
    put("f");
    p.unlink("f");
    absent("f");
  },
  directory: () => {
    p.mkdir("d");
    refuses(["EISDIR", "EPERM"], () => p.unlink("d"));
  },
  missing: () => {
    refuses("ENOENT", () => p.unlink("f"));
  },
  "symlink-not-its-target": () => {
    put("f", "data");
    p.symlink("f", "link");
    p.unlink("link");
    equal(text("f"), "data", "content");
    absent("link");
  },
  fifo: () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    p.unlink("fifo");
    absent("fifo");
  },
  "trailing-slash-on-file": () => {
    put("f");
    refuses("ENOTDIR", () => p.unlink("f/"));
  },
  "trailing-slash-on-directory": () => {
    p.mkdir("d");
    refuses(["EISDIR", "EPERM"], () => p.unlink("d/"));
  },
  dot: () => {
    refuses(["EISDIR", "EPERM", "EINVAL"], () => p.unlink("."));
  },
  "one-of-two-links": () => {
    put("a", "data");
    p.link("a", "b");
    p.unlink("a");
    equal(p.stat("b").nlink, 1, "links");
    equal(text("b"), "data", "content");
  },
  "changes-ctime-of-the-file": () => {
    put("a");
    p.link("a", "b");
    equal(
      changed("b", () => p.unlink("a")),
      ["ctime"],
      "changed times",
    );
  },
  "changes-times-of-the-directory": () => {
    p.mkdir("d");
    put("d/f");
    equal(
      changed("d", () => p.unlink("d/f")),
      ["mtime", "ctime"],
      "changed times",
    );
  },
  "directory-not-writable": async (context) => {
    owned("f", 1001, 1001, 0o666);
    const user = await context.user(1001);
    await rejects("EACCES", user.unlink("f"));
  },
  "read-only-file-of-another": async (context) => {
    ownedDirectory("d", 1001, 1001, 0o755);
    owned("d/f", 0, 0, 0o400);
    const user = await context.user(1001);
    await user.unlink("d/f");
    absent("d/f");
  },
  "by-another-process": async (context) => {
    put("f");
    equal(p.stat("f").size, 0, "size");
    const peer = await context.peer();
    await peer.unlink("f");
    absent("f");
  },
  "and-create-again": () => {
    put("f", "old");
    for (let round = 0; round < 50; round++) {
      p.unlink("f");
      put("f", `round ${round}`);
      equal(text("f"), `round ${round}`, "content");
    }
  },
});

export const nameless = area("unlinked-open", {
  "links-0": () => {
    const fd = make("f", "data");
    p.unlink("f");
    equal(p.fstat(fd).nlink, 0, "links");
  },
  "reads-and-writes": () => {
    const fd = make("f", "data");
    p.unlink("f");
    holds(p.pread(fd, 8, 0), "data", "content");
    p.pwrite(fd, "more data", 0);
    holds(p.pread(fd, 16, 0), "more data", "content after write");
    equal(p.fstat(fd).size, 9, "size");
  },
  truncates: () => {
    const fd = make("f", "data");
    p.unlink("f");
    p.ftruncate(fd, 2);
    holds(p.pread(fd, 8, 0), "da", "content");
    p.ftruncate(fd, 4);
    holds(p.pread(fd, 8, 0), "da\0\0", "content grown");
  },
  "changes-mode": () => {
    const fd = make("f");
    p.unlink("f");
    p.fchmod(fd, 0o640);
    equal(p.fstat(fd).mode & 0o7777, 0o640, "mode");
  },
  "changes-owner": () => {
    const fd = make("f");
    p.unlink("f");
    p.fchown(fd, 1001, 1002);
    const { uid, gid } = p.fstat(fd);
    equal([uid, gid], [1001, 1002], "owner and group");
  },
  "changes-times": () => {
    const fd = make("f");
    p.unlink("f");
    p.futimens(fd, 1_000_000_000n, 2_000_000_003n);
    const { atime, mtime } = p.fstat(fd);
    equal([atime, mtime], [1_000_000_000n, 2_000_000_003n], "times");
  },
  "keeps-xattrs": () => {
    const fd = make("f");
    p.unlink("f");
    p.fsetxattr(fd, "user.a", "value");
    holds(p.fgetxattr(fd, "user.a"), "value", "value");
    equal(p.flistxattr(fd), ["user.a"], "list");
    p.fremovexattr(fd, "user.a");
    equal(p.flistxattr(fd), [], "list after removal");
  },
  "reopens-through-proc": () => {
    const fd = make("f", "data");
    p.unlink("f");
    const again = p.open(`/proc/self/fd/${fd}`, p.O_RDWR);
    holds(p.read(again, 8), "data", "content");
    p.pwrite(again, "D", 0);
    holds(p.pread(fd, 8, 0), "Data", "content through the first");
  },
  "truncates-through-proc": () => {
    const fd = make("f", "data");
    p.unlink("f");
    p.close(p.open(`/proc/self/fd/${fd}`, p.O_WRONLY | p.O_TRUNC));
    equal(p.fstat(fd).size, 0, "size");
  },
  "is-not-the-new-file-of-that-name": () => {
    const fd = make("f", "old");
    p.unlink("f");
    put("f", "new");
    holds(p.pread(fd, 8, 0), "old", "content of the old one");
    p.pwrite(fd, "OLD", 0);
    equal(text("f"), "new", "content of the new one");
  },
  "flushes-and-allocates": () => {
    const fd = make("f", "data");
    p.unlink("f");
    p.fallocate(fd, 0, 0, 8192);
    p.fsync(fd);
    equal(p.fstat(fd).size, 8192, "size");
  },
  locks: async (context) => {
    const fd = make("f");
    const peer = await context.peer();
    const other = await peer.open("f", p.O_RDWR);
    p.unlink("f");
    p.flock(fd, p.LOCK_EX);
    await rejects("EAGAIN", peer.flock(other, p.LOCK_EX | p.LOCK_NB));
  },
  "in-a-removed-directory": () => {
    p.mkdir("d");
    const fd = make("d/f", "data");
    p.unlink("d/f");
    p.rmdir("d");
    p.pwrite(fd, "D", 0);
    holds(p.pread(fd, 8, 0), "Data", "content");
  },
  "in-another-process": async (context) => {
    put("f", "data");
    const peer = await context.peer();
    const fd = await peer.open("f", p.O_RDWR);
    p.unlink("f");
    await peer.pwrite(fd, "D", 0);
    holds(await peer.pread(fd, 8, 0), "Data", "content");
    equal((await peer.fstat(fd)).nlink, 0, "links");
  },
  "cannot-be-linked-again": () => {
    const fd = make("f");
    p.unlink("f");
    refuses("ENOENT", () =>
      p.linkat(p.AT_FDCWD, `/proc/self/fd/${fd}`, p.AT_FDCWD, "g", p.AT_SYMLINK_FOLLOW),
    );
  },
  "many-at-once": () => {
    const fds = Array.from({ length: 100 }, (_, index) => make(`f${index}`, `data ${index}`));
    fds.forEach((_, index) => {
      p.unlink(`f${index}`);
    });
    equal(p.list("."), [], "entries");
    fds.forEach((fd, index) => {
      holds(p.pread(fd, 16, 0), `data ${index}`, `content ${index}`);
    });
  },
});
