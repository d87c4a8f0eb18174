/** O_TMPFILE: files that never had a name. */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { modeOf, ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, O_RDWR, O_TMPFILE } = p;

function linkByProc(fd: number, name: string): void {
  p.linkat(AT_FDCWD, `/proc/self/fd/${fd}`, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

export const cases = area("tmpfile", {
  "has-no-name": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    equal(p.fstat(fd).nlink, 0, "links");
    equal(p.list("."), [], "entries");
  },
  "reads-and-writes": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    p.write(fd, "data");
    holds(p.pread(fd, 8, 0), "data", "content");
    equal(p.fstat(fd).size, 4, "size");
  },
  "gets-a-name-through-proc": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR, 0o640);
    p.write(fd, "data");
    linkByProc(fd, "f");
    equal([text("f"), modeOf("f"), p.stat("f").nlink], ["data", 0o640, 1], "the file");
    equal(p.stat("f").ino, p.fstat(fd).ino, "inodes");
  },
  "gets-a-name-by-empty-path": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    p.write(fd, "data");
    p.linkat(fd, "", AT_FDCWD, "f", AT_EMPTY_PATH);
    equal(text("f"), "data", "content");
  },
  "written-after-it-got-a-name": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    linkByProc(fd, "f");
    p.write(fd, "later");
    equal(text("f"), "later", "content");
  },
  "gets-a-name-elsewhere": () => {
    p.mkdir("a");
    p.mkdir("b");
    const fd = p.open("a", O_TMPFILE | O_RDWR);
    p.write(fd, "data");
    linkByProc(fd, "b/f");
    equal(text("b/f"), "data", "content");
  },
  "with-excl-gets-no-name": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR | p.O_EXCL);
    refuses("ENOENT", () => linkByProc(fd, "f"));
  },
  "name-that-exists": () => {
    put("f", "old");
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    refuses("EEXIST", () => linkByProc(fd, "f"));
    equal(text("f"), "old", "content");
  },
  "read-only": () => {
    refuses("EINVAL", () => p.open(".", O_TMPFILE | p.O_RDONLY));
  },
  "in-a-file": () => {
    put("f");
    refuses("ENOTDIR", () => p.open("f", O_TMPFILE | O_RDWR));
  },
  "in-a-missing-directory": () => {
    refuses("ENOENT", () => p.open("d", O_TMPFILE | O_RDWR));
  },
  "in-a-removed-directory": () => {
    p.mkdir("d");
    p.chdir("d");
    p.rmdir("../d");
    refuses(["ENOENT", "EPERM"], () => p.open(".", O_TMPFILE | O_RDWR));
  },
  "directory-not-writable": async (context) => {
    const user = await context.user(1001);
    await rejects("EACCES", user.open(".", O_TMPFILE | O_RDWR));
  },
  "owner-and-setgid-directory": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    const user = await context.user(1001);
    const fd = await user.open("d", O_TMPFILE | O_RDWR);
    const { uid, gid } = await user.fstat(fd);
    equal([uid, gid], [1001, 1002], "owner and group");
  },
  "takes-xattrs-and-mode": () => {
    const fd = p.open(".", O_TMPFILE | O_RDWR);
    p.fsetxattr(fd, "user.a", "1");
    p.fchmod(fd, 0o604);
    linkByProc(fd, "f");
    holds(p.getxattr("f", "user.a"), "1", "value");
    equal(modeOf("f"), 0o604, "mode");
  },
  "does-not-hold-its-directory": () => {
    p.mkdir("d");
    const fd = p.open("d", O_TMPFILE | O_RDWR);
    p.rmdir("d");
    p.write(fd, "data");
    holds(p.pread(fd, 8, 0), "data", "content");
  },
});
