/** renameat2(2) with NOREPLACE, EXCHANGE and WHITEOUT. */
import { area } from "../harness/case.ts";
import { equal, refuses } from "../harness/expect.ts";
import { absent, make, put, text, typeOf } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT } = p;

function isWhiteout(path: string): void {
  const found = p.lstat(path);
  equal(found.mode & p.S_IFMT, p.S_IFCHR, `type of ${path}`);
  equal([found.rdevMajor, found.rdevMinor], [0, 0], `device of ${path}`);
}

export const cases = area("rename-flags", {
  "noreplace-free": () => {
    put("a", "data");
    p.rename("a", "b", RENAME_NOREPLACE);
    equal(text("b"), "data", "content");
    absent("a");
  },
  "noreplace-existing": () => {
    put("a", "new");
    put("b", "old");
    refuses("EEXIST", () => p.rename("a", "b", RENAME_NOREPLACE));
    equal([text("a"), text("b")], ["new", "old"], "contents");
  },
  "noreplace-directory-existing": () => {
    p.mkdir("a");
    p.mkdir("b");
    refuses("EEXIST", () => p.rename("a", "b", RENAME_NOREPLACE));
  },
  "noreplace-dangling-symlink": () => {
    put("a");
    p.symlink("nowhere", "b");
    refuses("EEXIST", () => p.rename("a", "b", RENAME_NOREPLACE));
  },
  "noreplace-onto-itself": () => {
    put("a");
    refuses("EEXIST", () => p.rename("a", "a", RENAME_NOREPLACE));
  },
  "noreplace-onto-hard-link": () => {
    put("a");
    p.link("a", "b");
    refuses("EEXIST", () => p.rename("a", "b", RENAME_NOREPLACE));
  },
  "noreplace-missing-source": () => {
    refuses("ENOENT", () => p.rename("a", "b", RENAME_NOREPLACE));
  },
  "noreplace-directory": () => {
    p.mkdir("a");
    put("a/f");
    p.rename("a", "b", RENAME_NOREPLACE);
    equal(p.list("b"), ["f"], "entries");
  },
  "exchange-files": () => {
    put("a", "A");
    put("b", "B");
    const before = [p.stat("a").ino, p.stat("b").ino];
    p.rename("a", "b", RENAME_EXCHANGE);
    equal([text("a"), text("b")], ["B", "A"], "contents");
    equal([p.stat("b").ino, p.stat("a").ino], before, "inodes");
  },
  "exchange-file-and-directory": () => {
    put("a", "A");
    p.mkdir("b");
    put("b/f");
    p.rename("a", "b", RENAME_EXCHANGE);
    equal(p.list("a"), ["f"], "entries of a");
    equal(text("b"), "A", "content of b");
  },
  "exchange-non-empty-directories": () => {
    p.mkdir("a");
    p.mkdir("b");
    put("a/in-a");
    put("b/in-b");
    p.rename("a", "b", RENAME_EXCHANGE);
    equal([p.list("a"), p.list("b")], [["in-b"], ["in-a"]], "entries");
  },
  "exchange-symlink-and-file": () => {
    p.symlink("nowhere", "a");
    put("b", "B");
    p.rename("a", "b", RENAME_EXCHANGE);
    equal(text("a"), "B", "content of a");
    equal(p.readlink("b").toString(), "nowhere", "text of b");
  },
  "exchange-across-directories": () => {
    p.mkdir("x");
    p.mkdir("y");
    p.mkdir("x/d");
    put("y/f", "F");
    p.rename("x/d", "y/f", RENAME_EXCHANGE);
    equal(text("x/f".replace("f", "d")), "F", "content of x/d");
    equal([p.stat("x").nlink, p.stat("y").nlink], [2, 3], "links of the parents");
    equal(p.stat("y/f/..").ino, p.stat("y").ino, "inode of ..");
  },
  "exchange-missing-target": () => {
    put("a");
    refuses("ENOENT", () => p.rename("a", "b", RENAME_EXCHANGE));
  },
  "exchange-missing-source": () => {
    put("b");
    refuses("ENOENT", () => p.rename("a", "b", RENAME_EXCHANGE));
  },
  "exchange-with-own-subtree": () => {
    p.mkdir("a");
    p.mkdir("a/b");
    refuses("EINVAL", () => p.rename("a", "a/b", RENAME_EXCHANGE));
  },
  "exchange-with-own-ancestor": () => {
    p.mkdir("a");
    p.mkdir("a/b");
    refuses("EINVAL", () => p.rename("a/b", "a", RENAME_EXCHANGE));
  },
  "exchange-with-itself": () => {
    put("a", "A");
    p.rename("a", "a", RENAME_EXCHANGE);
    equal(text("a"), "A", "content");
  },
  "exchange-open-files-stay": () => {
    const a = make("a", "A");
    const b = make("b", "B");
    p.rename("a", "b", RENAME_EXCHANGE);
    equal([p.pread(a, 1, 0).toString(), p.pread(b, 1, 0).toString()], ["A", "B"], "contents");
    equal([p.fstat(a).nlink, p.fstat(b).nlink], [1, 1], "links");
  },
  "exchange-excludes-noreplace": () => {
    put("a");
    put("b");
    refuses("EINVAL", () => p.rename("a", "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
  },
  "exchange-excludes-whiteout": () => {
    put("a");
    put("b");
    refuses("EINVAL", () => p.rename("a", "b", RENAME_EXCHANGE | RENAME_WHITEOUT));
  },
  "whiteout-left-behind": () => {
    put("a", "data");
    p.rename("a", "b", RENAME_WHITEOUT);
    equal(text("b"), "data", "content");
    isWhiteout("a");
  },
  "whiteout-over-existing": () => {
    put("a", "new");
    put("b", "old");
    p.rename("a", "b", RENAME_WHITEOUT);
    equal(text("b"), "new", "content");
    isWhiteout("a");
  },
  "whiteout-for-directory": () => {
    p.mkdir("a");
    put("a/f");
    p.rename("a", "b", RENAME_WHITEOUT);
    equal(p.list("b"), ["f"], "entries");
    isWhiteout("a");
  },
  "whiteout-with-noreplace": () => {
    put("a");
    put("b");
    refuses("EEXIST", () => p.rename("a", "b", RENAME_WHITEOUT | RENAME_NOREPLACE));
    p.rename("a", "c", RENAME_WHITEOUT | RENAME_NOREPLACE);
    isWhiteout("a");
    equal(typeOf("c"), p.S_IFREG, "type of c");
  },
  "whiteout-is-removable": () => {
    put("a");
    p.rename("a", "b", RENAME_WHITEOUT);
    p.unlink("a");
    equal(p.list("."), ["b"], "entries");
  },
  "whiteout-is-replaceable": () => {
    put("a", "data");
    p.rename("a", "b", RENAME_WHITEOUT);
    p.rename("b", "a");
    equal(text("a"), "data", "content");
  },
});
