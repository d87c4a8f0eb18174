/** chdir(2), fchdir(2) and getcwd(3). */
import { area } from "../harness/case.ts";
import { equal, holds, refuses, rejects } from "../harness/expect.ts";
import { ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("working-directory", {
  "is-the-case-directory": (context) => {
    equal(p.getcwd(), context.directory, "path");
  },
  "chdir-and-back": (context) => {
    p.mkdir("d");
    p.chdir("d");
    equal(p.getcwd(), `${context.directory}/d`, "path");
    put("f", "data");
    p.chdir("..");
    equal(text("d/f"), "data", "content");
  },
  fchdir: (context) => {
    p.mkdir("d");
    const fd = p.open("d", p.O_RDONLY | p.O_DIRECTORY);
    p.fchdir(fd);
    equal(p.getcwd(), `${context.directory}/d`, "path");
  },
  "fchdir-of-path-descriptor": (context) => {
    p.mkdir("d");
    p.fchdir(p.open("d", p.O_PATH));
    equal(p.getcwd(), `${context.directory}/d`, "path");
  },
  "fchdir-of-file": () => {
    put("f");
    const fd = p.open("f", p.O_RDONLY);
    refuses("ENOTDIR", () => p.fchdir(fd));
  },
  "chdir-to-file": () => {
    put("f");
    refuses("ENOTDIR", () => p.chdir("f"));
  },
  "chdir-not-searchable": async (context) => {
    ownedDirectory("d", 0, 0, 0o766);
    const user = await context.user(1001);
    await rejects("EACCES", user.chdir("d"));
  },
  "through-symlink-is-the-real-path": (context) => {
    p.mkdir("real");
    p.mkdir("real/inner");
    p.symlink("real/inner", "link");
    p.chdir("link");
    equal(p.getcwd(), `${context.directory}/real/inner`, "path");
    p.chdir("..");
    equal(p.getcwd(), `${context.directory}/real`, "path of the parent");
  },
  "renamed-above": (context) => {
    p.mkdir("a");
    p.mkdir("a/b");
    p.chdir("a/b");
    p.rename(`${context.directory}/a`, `${context.directory}/z`);
    equal(p.getcwd(), `${context.directory}/z/b`, "path");
  },
  "moved-elsewhere": (context) => {
    p.mkdir("a");
    p.mkdir("a/b");
    p.mkdir("other");
    p.chdir("a/b");
    p.rename(`${context.directory}/a/b`, `${context.directory}/other/b`);
    equal(p.getcwd(), `${context.directory}/other/b`, "path");
    p.chdir("..");
    equal(p.list("."), ["b"], "entries of the new parent");
  },
  "renamed-by-another-process": async (context) => {
    p.mkdir("a");
    const peer = await context.peer();
    p.chdir("a");
    await peer.rename("a", "b");
    equal(p.getcwd(), `${context.directory}/b`, "path");
  },
  removed: (context) => {
    p.mkdir("d");
    p.chdir("d");
    p.rmdir(`${context.directory}/d`);
    refuses("ENOENT", () => p.getcwd());
    refuses("ENOENT", () => p.mkdir("e"));
    equal(p.stat(".").nlink, 0, "links");
    p.chdir(context.directory);
  },
  "buffer-too-small": () => {
    refuses("ERANGE", () => p.getcwd(3));
  },
  "proc-tells-it": (context) => {
    p.mkdir("d");
    p.chdir("d");
    holds(p.readlink("/proc/self/cwd"), `${context.directory}/d`, "link");
  },
  "descriptor-link-tells-the-path": (context) => {
    put("f");
    const fd = p.open("f", p.O_RDONLY);
    holds(p.readlink(`/proc/self/fd/${fd}`), `${context.directory}/f`, "link");
    p.rename("f", "g");
    holds(p.readlink(`/proc/self/fd/${fd}`), `${context.directory}/g`, "link after rename");
    p.unlink("g");
    holds(p.readlink(`/proc/self/fd/${fd}`), `${context.directory}/g (deleted)`, "after unlink");
  },
});
