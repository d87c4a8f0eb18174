/** utimensat(2), and which operation changes which time. */
import { area } from "../harness/case.ts";
import { check, equal, holds, refuses } from "../harness/expect.ts";
import { age, changed, make, OLD, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("times", {
  nanoseconds: () => {
    put("f");
    p.utimens("f", 1_111_111_111_123_456_789n, 1_222_222_222_987_654_321n);
    const { atime, mtime } = p.stat("f");
    equal([atime, mtime], [1_111_111_111_123_456_789n, 1_222_222_222_987_654_321n], "times");
  },
  now: () => {
    put("f");
    age("f");
    p.utimens("f", p.UTIME_NOW, p.UTIME_NOW);
    const { atime, mtime } = p.stat("f");
    check(atime > OLD && mtime > OLD, "a time is still the old one");
  },
  "null-means-now": () => {
    put("f");
    age("f");
    p.touch("f");
    const { atime, mtime } = p.stat("f");
    check(atime > OLD && mtime > OLD, "a time is still the old one");
  },
  "omit-one": () => {
    put("f");
    age("f");
    p.utimens("f", p.UTIME_OMIT, 77n);
    equal([p.stat("f").atime, p.stat("f").mtime], [OLD, 77n], "times without atime");
    p.utimens("f", 88n, p.UTIME_OMIT);
    equal([p.stat("f").atime, p.stat("f").mtime], [88n, 77n], "times without mtime");
  },
  "omit-both": () => {
    put("f");
    const seen = changed("f", () => p.utimens("f", p.UTIME_OMIT, p.UTIME_OMIT));
    equal(seen, [], "changed times");
  },
  "one-now-one-given": () => {
    put("f");
    age("f");
    p.utimens("f", 99n, p.UTIME_NOW);
    equal(p.stat("f").atime, 99n, "atime");
    check(p.stat("f").mtime > OLD, "mtime is still the old one");
  },
  "before-1970": () => {
    put("f");
    p.utimens("f", -1_000_000_000n, -5_000_000_000n);
    const { atime, mtime } = p.stat("f");
    equal([atime, mtime], [-1_000_000_000n, -5_000_000_000n], "times");
  },
  "after-2038": () => {
    put("f");
    p.utimens("f", 3_000_000_000_000_000_001n, 4_000_000_000_000_000_002n);
    const { atime, mtime } = p.stat("f");
    equal([atime, mtime], [3_000_000_000_000_000_001n, 4_000_000_000_000_000_002n], "times");
  },
  "of-a-symlink": () => {
    put("f");
    age("f");
    p.symlink("f", "link");
    p.utimens("link", 5n, 6n, p.AT_SYMLINK_NOFOLLOW);
    equal([p.lstat("link").mtime, p.stat("f").mtime], [6n, OLD], "mtimes");
  },
  "through-a-symlink": () => {
    put("f");
    p.symlink("f", "link");
    p.utimens("link", 5n, 6n);
    equal(p.stat("f").mtime, 6n, "mtime");
  },
  "by-descriptor": () => {
    const fd = make("f");
    p.futimens(fd, 5n, 6n);
    equal([p.fstat(fd).atime, p.fstat(fd).mtime], [5n, 6n], "times");
  },
  "of-a-directory": () => {
    p.mkdir("d");
    p.utimens("d", 5n, 6n);
    equal([p.stat("d").atime, p.stat("d").mtime], [5n, 6n], "times");
  },
  "bad-nanoseconds": () => {
    put("f");
    refuses("EINVAL", () => p.utimensRaw("f", 1_000_000_000n));
    refuses("EINVAL", () => p.utimensRaw("f", -1n));
  },
  "ctime-changes-with-them": () => {
    put("f");
    const before = p.stat("f").ctime;
    p.pause(15);
    p.utimens("f", 5n, 6n);
    check(p.stat("f").ctime > before, "ctime did not change");
  },
  "read-changes-atime": () => {
    put("f", "data");
    const fd = p.open("f", p.O_RDONLY);
    equal(
      changed("f", () => p.read(fd, 4)),
      ["atime"],
      "changed times",
    );
  },
  "write-changes-mtime-and-ctime": () => {
    const fd = make("f");
    equal(
      changed("f", () => p.write(fd, "x")),
      ["mtime", "ctime"],
      "changed times",
    );
  },
  "append-changes-mtime-and-ctime": () => {
    const fd = make("f", "x", p.O_APPEND);
    equal(
      changed("f", () => p.write(fd, "x")),
      ["mtime", "ctime"],
      "changed times",
    );
  },
  "create-changes-those-of-the-directory": () => {
    p.mkdir("d");
    equal(
      changed("d", () => put("d/f")),
      ["mtime", "ctime"],
      "changed times",
    );
    equal(
      changed("d", () => put("d/f", "more")),
      [],
      "times changed by a second open",
    );
  },
  "reading-a-directory-changes-atime": () => {
    p.mkdir("d");
    put("d/f");
    equal(
      changed("d", () => p.list("d")),
      ["atime"],
      "changed times",
    );
  },
  "xattr-changes-ctime": () => {
    put("f");
    equal(
      changed("f", () => p.setxattr("f", "user.a", "1")),
      ["ctime"],
      "by setxattr",
    );
    equal(
      changed("f", () => p.removexattr("f", "user.a")),
      ["ctime"],
      "by removexattr",
    );
    equal(
      changed("f", () => p.listxattr("f")),
      [],
      "by listxattr",
    );
  },
  "stat-and-open-change-nothing": () => {
    put("f", "data");
    const seen = changed("f", () => {
      p.stat("f");
      p.close(p.open("f", p.O_RDWR));
      p.access("f", p.R_OK);
    });
    equal(seen, [], "changed times");
  },
  "set-times-survive-close": () => {
    const fd = make("f", "data");
    p.pwrite(fd, "more", 0);
    p.futimens(fd, OLD, OLD);
    p.close(fd);
    equal(p.stat("f").mtime, OLD, "mtime");
    holds(p.read(p.open("f", p.O_RDONLY), 8), "more", "content");
    equal(p.stat("f").mtime, OLD, "mtime after reading");
  },
  "seen-by-another-process": async (context) => {
    put("f");
    const peer = await context.peer();
    await peer.stat("f");
    p.utimens("f", 5n, 6n);
    const { atime, mtime } = await peer.stat("f");
    equal([atime, mtime], [5n, 6n], "times");
  },
});
