/** Error numbers: their names and sentences, and that calls return exactly the right one. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { cstring, PathBuffer } from "../../src/sys/cstring.ts";
import { E, errnoName, errnoText } from "../../src/sys/errno.ts";
import { pread, read } from "../../src/sys/io.ts";
import { libc } from "../../src/sys/libc.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
} from "../../src/sys/open.ts";
import { rawSyscall } from "../../src/sys/rawsyscall.ts";
import { mkdirat, unlinkat } from "../../src/sys/tree.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();
writeFileSync(place.path("file"), "text");
mkdirSync(place.path("full/inner"), { recursive: true });
symlinkSync("loop", place.path("loop"));
symlinkSync("/etc", place.path("out"));
const root = ok(openat(AT_FDCWD, cstring(place.directory), O_RDONLY | O_DIRECTORY, 0));

const c = libc({ strerror: { args: ["i32"], returns: "cstring" } });

describe("names and sentences", () => {
  test("are the C library's, for every number", () => {
    for (let n = 1; n <= 133; n++) {
      expect(errnoText(n)).toBe(String(c.strerror(n)));
    }
    expect(Object.keys(E)).toHaveLength(131);
    for (const [name, n] of Object.entries(E)) expect(errnoName(n)).toBe(name);
  });

  test("take results as well, and numbers that nobody assigned", () => {
    expect(errnoName(-E.ESTALE)).toBe("ESTALE");
    expect(errnoText(-E.ESTALE)).toBe("Stale file handle");
    expect(errnoName(41)).toBe("errno 41");
    expect(errnoText(512)).toBe("Unknown error 512");
  });
});

/** A call that fails, and how. */
const failures: [expected: string, call: () => number][] = [
  ["ENOENT", () => openat(root, cstring("nothing"), O_RDONLY, 0)],
  ["EEXIST", () => openat(root, cstring("file"), O_WRONLY | O_CREAT | O_EXCL, 0o600)],
  ["EEXIST", () => mkdirat(root, cstring("full"), 0o700)],
  ["ENOTDIR", () => openat(root, cstring("file/below"), O_RDONLY, 0)],
  ["ENOTDIR", () => openat(root, cstring("file"), O_RDONLY | O_DIRECTORY, 0)],
  ["EISDIR", () => openat(root, cstring("full"), O_WRONLY, 0)],
  ["EISDIR", () => read(root, 0, 1)],
  ["EBADF", () => close(-1)],
  ["EBADF", () => pread(1 << 20, 0, 1, 0)],
  ["ELOOP", () => openat(root, cstring("loop"), O_RDONLY, 0)],
  ["ELOOP", () => openat(root, cstring("out"), O_RDONLY | O_NOFOLLOW, 0)],
  ["ELOOP", () => openat2(root, cstring("out/passwd"), O_PATH, 0, RESOLVE_NO_SYMLINKS)],
  ["EXDEV", () => openat2(root, cstring("../etc"), O_PATH, 0, RESOLVE_BENEATH)],
  ["EXDEV", () => openat2(root, cstring("out/passwd"), O_PATH, 0, RESOLVE_BENEATH)],
  ["EINVAL", () => openat2(root, cstring("file"), O_RDONLY, 0o600, RESOLVE_BENEATH)],
  ["EINVAL", () => openat2(root, cstring("file"), O_RDONLY, 0, 0x8000_0000)],
  ["ENOTEMPTY", () => unlinkat(root, cstring("full"), AT_REMOVEDIR)],
  ["ENAMETOOLONG", () => openat(root, cstring("x".repeat(256)), O_RDONLY, 0)],
  ["EFAULT", () => openat(root, 1, O_RDONLY, 0)],
  ["ENOSYS", () => rawSyscall(10_000)],
];

describe("a failing call returns its own errno", () => {
  for (const [i, [expected, call]] of failures.entries()) {
    test(`${expected} (${i})`, () => expect(outcome(call())).toBe(expected));
  }

  test("while the garbage collector runs between and during the calls", () => {
    const wrong: string[] = [];
    const kept: unknown[] = [];
    for (let i = 0; i < 20_000; i++) {
      const [expected, call] = failures[i % failures.length] ?? ["", () => 0];
      kept[i % 64] = { text: `${expected} ${i}`, array: new Uint8Array(256) };
      if (i % 2_000 === 0) Bun.gc(true);
      const got = outcome(call());
      if (got !== expected) wrong.push(`${expected}: ${got}`);
    }
    expect(wrong).toEqual([]);
  });
});

test("a path in a slot stays at its address through garbage collections", () => {
  const paths = new PathBuffer(2);
  const address = paths.put(1, "file");
  for (let i = 0; i < 5; i++) {
    paths.put(0, `other ${i}`);
    Bun.gc(true);
    const fd = openat(root, address, O_RDONLY, 0);
    expect(fd).toBeGreaterThanOrEqual(0);
    close(fd);
  }
});
