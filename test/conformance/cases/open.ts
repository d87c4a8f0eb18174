/** open(2): creating, refusing, and what a descriptor may do. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { absent, make, modeOf, owned, ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = p;

export const cases = area("open", {
  "create-with-mode-and-umask": () => {
    p.umask(0o026);
    p.open("f", O_CREAT | O_WRONLY, 0o777);
    equal(modeOf("f"), 0o751, "mode");
  },
  "create-empty": () => {
    p.open("f", O_CREAT | O_WRONLY);
    const { size, nlink, mode } = p.stat("f");
    equal([size, nlink, mode & p.S_IFMT], [0, 1, p.S_IFREG], "size, links and type");
  },
  "create-owner": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001, 1002);
    await user.open("f", O_CREAT | O_WRONLY);
    const { uid, gid } = p.stat("f");
    equal([uid, gid], [1001, 1002], "owner and group");
  },
  "create-existing-keeps-it": () => {
    put("f", "data", 0o640);
    p.open("f", O_CREAT | O_WRONLY, 0o600);
    equal(text("f"), "data", "content");
    equal(modeOf("f"), 0o640, "mode");
  },
  "create-mode-0-is-writable-now": () => {
    const fd = p.open("f", O_CREAT | O_RDWR, 0);
    p.write(fd, "data");
    holds(p.pread(fd, 8, 0), "data", "content");
    equal(modeOf("f"), 0, "mode");
  },
  "create-mode-0-by-user": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    const fd = await user.open("f", O_CREAT | O_RDWR, 0);
    await user.write(fd, "data");
    await rejects("EACCES", user.open("f", O_RDONLY));
  },
  "create-mode-0444-writable-by-user": async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    const fd = await user.open("f", O_CREAT | O_WRONLY, 0o444);
    await user.write(fd, "data");
    equal(text("f"), "data", "content");
  },
  "exclusive-free": () => {
    put("other");
    p.open("f", O_CREAT | O_EXCL | O_WRONLY);
    equal(p.list("."), ["f", "other"], "entries");
  },
  "exclusive-existing": () => {
    put("f", "data");
    refuses("EEXIST", () => p.open("f", O_CREAT | O_EXCL | O_WRONLY));
    equal(text("f"), "data", "content");
  },
  "exclusive-directory": () => {
    p.mkdir("d");
    refuses("EEXIST", () => p.open("d", O_CREAT | O_EXCL | O_WRONLY));
  },
  "exclusive-symlink": () => {
    put("f");
    p.symlink("f", "link");
    refuses("EEXIST", () => p.open("link", O_CREAT | O_EXCL | O_WRONLY));
  },
  "exclusive-dangling-symlink": () => {
    p.symlink("nowhere", "link");
    refuses("EEXIST", () => p.open("link", O_CREAT | O_EXCL | O_WRONLY));
    absent("nowhere");
  },
  "create-on-directory": () => {
    p.mkdir("d");
    refuses("EISDIR", () => p.open("d", O_CREAT | O_RDONLY));
  },
  "create-with-trailing-slash": () => {
    refuses("EISDIR", () => p.open("f/", O_CREAT | O_WRONLY));
  },
  "create-dot": () => {
    refuses("EISDIR", () => p.open(".", O_CREAT | O_WRONLY));
  },
  "create-and-directory": () => {
    refuses("EINVAL", () => p.open("d", O_CREAT | O_DIRECTORY));
  },
  "directory-for-writing": () => {
    p.mkdir("d");
    refuses("EISDIR", () => p.open("d", O_WRONLY));
    refuses("EISDIR", () => p.open("d", O_RDWR));
    refuses("EISDIR", () => p.open("d", O_RDONLY | p.O_TRUNC | O_WRONLY));
  },
  "directory-is-not-read": () => {
    p.mkdir("d");
    const fd = p.open("d", O_RDONLY);
    refuses("EISDIR", () => p.read(fd, 10));
    refuses("EISDIR", () => p.pread(fd, 10, 0));
  },
  "file-as-directory": () => {
    put("f");
    refuses("ENOTDIR", () => p.open("f", O_RDONLY | O_DIRECTORY));
  },
  "file-with-trailing-slash": () => {
    put("f");
    refuses("ENOTDIR", () => p.open("f/", O_RDONLY));
  },
  "file-with-slash-dot": () => {
    put("f");
    refuses("ENOTDIR", () => p.open("f/.", O_RDONLY));
  },
  "dots-in-the-middle": () => {
    p.mkdir("d");
    put("f", "data");
    equal(text("./d/.././/f"), "data", "content");
  },
  "missing-for-reading": () => {
    refuses("ENOENT", () => p.open("f", O_RDONLY));
  },
  "directory-not-writable": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.open("f", O_CREAT | O_WRONLY));
  },
  "existing-in-unwritable-directory": async (context) => {
    owned("f", 1001, 1001, 0o644, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", O_CREAT | O_RDWR);
    holds(await user.read(fd, 8), "data", "content");
  },
  "read-through-write-only": () => {
    const fd = p.open("f", O_CREAT | O_WRONLY);
    refuses("EBADF", () => p.read(fd, 1));
    refuses("EBADF", () => p.pread(fd, 1, 0));
  },
  "write-through-read-only": () => {
    put("f");
    const fd = p.open("f", O_RDONLY);
    refuses("EBADF", () => p.write(fd, "x"));
    refuses("EBADF", () => p.pwrite(fd, "x", 0));
  },
  "rights-stay-after-chmod": async (context) => {
    owned("f", 1001, 1001, 0o600, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", O_RDWR);
    p.chmod("f", 0);
    p.chown("f", 0, 0);
    await user.pwrite(fd, "D", 0);
    holds(await user.pread(fd, 8, 0), "Data", "content");
  },
  "closed-descriptor": () => {
    const fd = make("f");
    p.close(fd);
    refuses("EBADF", () => p.fstat(fd));
  },
  "dup-shares-the-offset": () => {
    const fd = make("f", "abcdef");
    const other = p.dup(fd);
    p.read(fd, 3);
    holds(p.read(other, 3), "def", "content");
  },
  "two-opens-have-two-offsets": () => {
    const fd = make("f", "abcdef");
    const other = p.open("f", O_RDONLY);
    p.read(fd, 3);
    holds(p.read(other, 3), "abc", "content");
  },
  "relative-to-descriptor": () => {
    p.mkdir("d");
    put("d/f", "data");
    const dir = p.open("d", O_RDONLY | O_DIRECTORY);
    holds(p.read(p.openat(dir, "f", O_RDONLY), 8), "data", "content");
    holds(p.read(p.openat(dir, "../d/f", O_RDONLY), 8), "data", "content");
  },
  "relative-to-file": () => {
    const fd = make("f");
    refuses("ENOTDIR", () => p.openat(fd, "x", O_RDONLY));
  },
  "absolute-ignores-descriptor": (context) => {
    put("f", "data");
    const fd = p.openat(-1, `${context.directory}/f`, O_RDONLY);
    holds(p.read(fd, 8), "data", "content");
  },
  "in-a-removed-directory": () => {
    p.mkdir("d");
    const dir = p.open("d", O_RDONLY | O_DIRECTORY);
    p.rmdir("d");
    refuses("ENOENT", () => p.openat(dir, "f", O_CREAT | O_WRONLY));
  },
  "fifo-for-writing-without-reader": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    refuses("ENXIO", () => p.open("fifo", O_WRONLY | p.O_NONBLOCK));
  },
  "socket-is-not-opened": () => {
    p.mknod("s", p.S_IFSOCK | 0o600);
    refuses("ENXIO", () => p.open("s", O_RDWR));
  },
  "1000-descriptors": () => {
    const fds = Array.from({ length: 1000 }, (_, index) => make(`f${index}`, `${index}`));
    fds.forEach((fd, index) => {
      holds(p.pread(fd, 8, 0), `${index}`, `content ${index}`);
    });
  },
  "200-of-one-file": () => {
    put("f", "data");
    const fds = Array.from({ length: 200 }, () => p.open("f", O_RDWR));
    for (const fd of fds) holds(p.read(fd, 8), "data", "content");
  },
  "search-right-is-enough-for-known-names": async (context) => {
    ownedDirectory("d", 0, 0, 0o711);
    put("d/f", "data");
    const user = await context.user(1001);
    const fd = await user.open("d/f", O_RDONLY);
    holds(await user.read(fd, 8), "data", "content");
    await rejects("EACCES", user.open("d", O_RDONLY | O_DIRECTORY));
  },
});
