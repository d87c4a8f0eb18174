/** Extended attributes. */
import { area, type Run } from "../harness/case.ts";
import { check, equal, holds, refuses } from "../harness/expect.ts";
import { make, pattern, put } from "../harness/fixtures.ts";
import { PosixError } from "../posix/failure.ts";
import * as p from "../posix/index.ts";

const ANY = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

/** Set, get, list and remove one name in one name space. */
function roundTrip(name: string): Run {
  return () => {
    put("f");
    p.setxattr("f", name, ANY);
    equal(p.getxattr("f", name), ANY, "value");
    check(p.listxattr("f").includes(name), "the name is not in the list");
    p.removexattr("f", name);
    refuses("ENODATA", () => p.getxattr("f", name));
    check(!p.listxattr("f").includes(name), "the name is still in the list");
  };
}

/** A value of that size is stored whole, or refused as too large and nothing is stored. */
function largeValue(size: number): Run {
  return () => {
    put("f");
    const value = pattern(size);
    try {
      p.setxattr("f", "user.large", value);
    } catch (error) {
      if (!(error instanceof PosixError)) throw error;
      refuses(["ENOSPC", "E2BIG"], () => p.setxattr("f", "user.large", value));
      equal(p.listxattr("f"), [], "list after the refusal");
      return;
    }
    equal(p.getxattr("f", "user.large"), value, "value");
  };
}

export const cases = area("xattr", {
  "user-round-trip": roundTrip("user.name"),
  "trusted-round-trip": roundTrip("trusted.name"),
  "security-round-trip": roundTrip("security.name"),
  "overlay-round-trip": roundTrip("trusted.overlay.opaque"),
  "capability-round-trip": () => {
    put("f", "", 0o755);
    const value = Buffer.from("0100000200200000000000000000000000000000", "hex");
    p.setxattr("f", "security.capability", value);
    equal(p.getxattr("f", "security.capability"), value, "value");
  },
  "by-descriptor": () => {
    const fd = make("f");
    p.fsetxattr(fd, "user.a", "1");
    holds(p.fgetxattr(fd, "user.a"), "1", "value");
    equal(p.flistxattr(fd), ["user.a"], "list");
    p.fremovexattr(fd, "user.a");
    refuses("ENODATA", () => p.fgetxattr(fd, "user.a"));
  },
  "on-a-directory": () => {
    p.mkdir("d");
    p.setxattr("d", "user.a", "1");
    p.setxattr("d", "trusted.b", "2");
    equal(p.listxattr("d"), ["trusted.b", "user.a"], "list");
    holds(p.getxattr("d", "user.a"), "1", "value");
  },
  "user-on-a-symlink": () => {
    p.symlink("nowhere", "link");
    refuses("EPERM", () => p.lsetxattr("link", "user.a", "1"));
  },
  "trusted-on-a-symlink": () => {
    p.symlink("nowhere", "link");
    p.lsetxattr("link", "trusted.a", "1");
    holds(p.lgetxattr("link", "trusted.a"), "1", "value");
    equal(p.llistxattr("link"), ["trusted.a"], "list");
    p.lremovexattr("link", "trusted.a");
    equal(p.llistxattr("link"), [], "list after removal");
  },
  "through-a-symlink": () => {
    put("f");
    p.symlink("f", "link");
    p.setxattr("link", "user.a", "1");
    holds(p.getxattr("f", "user.a"), "1", "value");
    equal(p.llistxattr("link"), [], "list of the link itself");
  },
  "user-on-special-files": () => {
    p.mknod("fifo", p.S_IFIFO | 0o666);
    p.mknod("node", p.S_IFCHR | 0o666, p.makedev(1, 3));
    refuses("EPERM", () => p.setxattr("fifo", "user.a", "1"));
    refuses("EPERM", () => p.setxattr("node", "user.a", "1"));
    p.setxattr("fifo", "trusted.a", "1");
    holds(p.getxattr("fifo", "trusted.a"), "1", "value");
  },
  "create-free": () => {
    put("f");
    p.setxattr("f", "user.a", "1", p.XATTR_CREATE);
    holds(p.getxattr("f", "user.a"), "1", "value");
  },
  "create-existing": () => {
    put("f");
    p.setxattr("f", "user.a", "1");
    refuses("EEXIST", () => p.setxattr("f", "user.a", "2", p.XATTR_CREATE));
    holds(p.getxattr("f", "user.a"), "1", "value");
  },
  "replace-existing": () => {
    put("f");
    p.setxattr("f", "user.a", "1");
    p.setxattr("f", "user.a", "longer", p.XATTR_REPLACE);
    holds(p.getxattr("f", "user.a"), "longer", "value");
  },
  "replace-free": () => {
    put("f");
    refuses("ENODATA", () => p.setxattr("f", "user.a", "1", p.XATTR_REPLACE));
  },
  "unknown-flag": () => {
    put("f");
    refuses("EINVAL", () => p.setxattr("f", "user.a", "1", 8));
  },
  "get-missing": () => {
    put("f");
    refuses("ENODATA", () => p.getxattr("f", "user.a"));
  },
  "remove-missing": () => {
    put("f");
    refuses("ENODATA", () => p.removexattr("f", "user.a"));
  },
  "empty-value": () => {
    put("f");
    p.setxattr("f", "user.a", "");
    equal(p.xattrSize("f", "user.a"), 0, "size");
    equal(p.getxattr("f", "user.a").length, 0, "length of the value");
    equal(p.listxattr("f"), ["user.a"], "list");
  },
  "size-is-asked-first": () => {
    put("f");
    p.setxattr("f", "user.a", "12345");
    equal(p.xattrSize("f", "user.a"), 5, "size");
    holds(p.getxattr("f", "user.a", 5), "12345", "value");
  },
  "buffer-too-small": () => {
    put("f");
    p.setxattr("f", "user.a", "12345");
    refuses("ERANGE", () => p.getxattr("f", "user.a", 4));
    refuses("ERANGE", () => p.listxattr("f", 3));
  },
  "list-size": () => {
    put("f");
    equal(p.xattrListSize("f"), 0, "size of an empty list");
    p.setxattr("f", "user.a", "1");
    p.setxattr("f", "user.bcd", "1");
    equal(p.xattrListSize("f"), "user.a\0user.bcd\0".length, "size");
  },
  "value-of-1000": largeValue(1000),
  "value-of-3000": largeValue(3000),
  "value-of-65536": largeValue(65_536),
  "value-of-65537": () => {
    put("f");
    refuses("E2BIG", () => p.setxattr("f", "user.a", Buffer.alloc(65_537)));
  },
  "name-of-255": () => {
    put("f");
    const name = `user.${"n".repeat(250)}`;
    p.setxattr("f", name, "1");
    equal(p.listxattr("f"), [name], "list");
  },
  "name-of-256": () => {
    put("f");
    refuses("ERANGE", () => p.setxattr("f", `user.${"n".repeat(251)}`, "1"));
    refuses("ERANGE", () => p.getxattr("f", `user.${"n".repeat(251)}`));
  },
  "empty-name": () => {
    put("f");
    refuses("ERANGE", () => p.setxattr("f", "", "1"));
  },
  "name-without-its-end": () => {
    put("f");
    refuses("EINVAL", () => p.setxattr("f", "user.", "1"));
  },
  "unknown-name-space": () => {
    put("f");
    refuses("EOPNOTSUPP", () => p.setxattr("f", "unknown.a", "1"));
    refuses("EOPNOTSUPP", () => p.getxattr("f", "unknown.a"));
  },
  "name-of-any-bytes": () => {
    put("f");
    const name = Buffer.concat([Buffer.from("user."), ANY.subarray(1, 250)]);
    p.setxattr("f", name, "1");
    holds(p.getxattr("f", name), "1", "value");
  },
  "fifty-names": () => {
    put("f");
    const names = Array.from({ length: 50 }, (_, index) => `user.name-${index}`);
    names.forEach((name, index) => {
      p.setxattr("f", name, `${index}`);
    });
    equal(p.listxattr("f"), names.toSorted(), "list");
    names.forEach((name, index) => {
      holds(p.getxattr("f", name), `${index}`, name);
    });
  },
  "survives-rename-and-write": () => {
    put("f", "data");
    p.setxattr("f", "user.a", "1");
    put("f", "other");
    p.rename("f", "g");
    holds(p.getxattr("g", "user.a"), "1", "value");
  },
  "not-of-the-next-file-of-that-name": () => {
    put("f");
    p.setxattr("f", "user.a", "1");
    p.unlink("f");
    put("f");
    equal(p.listxattr("f"), [], "list");
  },
  "seen-by-another-process": async (context) => {
    put("f");
    const peer = await context.peer();
    equal(await peer.listxattr("f"), [], "list before");
    p.setxattr("f", "user.a", "1");
    holds(await peer.getxattr("f", "user.a"), "1", "value");
    p.setxattr("f", "user.a", "22");
    holds(await peer.getxattr("f", "user.a"), "22", "value replaced");
    p.removexattr("f", "user.a");
    equal(await peer.listxattr("f"), [], "list after");
  },
});
