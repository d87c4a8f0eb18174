/** Names in directories. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import { libc, u32 } from "../../src/sys/libc.ts";
import { allocate } from "../../src/sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_REMOVEDIR,
  close,
  O_DIRECTORY,
  O_RDONLY,
  openat,
} from "../../src/sys/open.ts";
import { S_IFCHR, S_IFIFO } from "../../src/sys/stat.ts";
import {
  DIRENT,
  DT_DIR,
  DT_FIFO,
  DT_LNK,
  DT_REG,
  getdents64,
  linkat,
  major,
  makedev,
  minor,
  mkdirat,
  mknodat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  readlinkat,
  renameat2,
  symlinkat,
  unlinkat,
} from "../../src/sys/tree.ts";
import { ok, outcome, scratch } from "./support.ts";

const c = libc({ gnu_dev_makedev: { args: [u32, u32], returns: "u64" } });
const place = scratch();
const root = ok(openat(AT_FDCWD, cstring(place.directory), O_RDONLY | O_DIRECTORY, 0));
const content = (name: string) => readFileSync(place.path(name), "latin1");

test("directories are made with a mode and removed", () => {
  expect(mkdirat(root, cstring("made"), 0o750)).toBe(0);
  expect(statSync(place.path("made")).mode & 0o7777).toBe(0o750);
  expect(outcome(unlinkat(root, cstring("made"), 0))).toBe("EISDIR");
  expect(unlinkat(root, cstring("made"), AT_REMOVEDIR)).toBe(0);
  expect(outcome(unlinkat(root, cstring("made"), AT_REMOVEDIR))).toBe("ENOENT");
});

test("mknodat makes devices and FIFOs, and refuses a device that the kernel would cut", () => {
  const device = makedev(4095, 1_048_575);
  expect(mknodat(root, cstring("device"), S_IFCHR | 0o600, device)).toBe(0);
  const rdev = statSync(place.path("device"), { bigint: true }).rdev;
  expect(rdev).toBe(BigInt(device));
  expect([major(Number(rdev)), minor(Number(rdev))]).toEqual([4095, 1_048_575]);
  expect(mknodat(root, cstring("fifo"), S_IFIFO | 0o600, 0)).toBe(0);
  expect(statSync(place.path("fifo")).isFIFO()).toBe(true);
  expect(outcome(mknodat(root, cstring("fifo"), S_IFIFO | 0o600, 0))).toBe("EEXIST");
  const large = makedev(4096, 0);
  expect(outcome(mknodat(root, cstring("large"), S_IFCHR | 0o600, large))).toBe("EINVAL");
});

test("device numbers are packed as the C library packs them", () => {
  const pairs = [
    [0, 0],
    [8, 1],
    [259, 700],
    [4095, 1_048_575],
    [1_048_575, 5],
    [3, 2 ** 32 - 1],
    [2 ** 21 - 1, 2 ** 21 - 1],
  ] as const;
  for (const [a, b] of pairs) expect(BigInt(makedev(a, b))).toBe(c.gnu_dev_makedev(a, b));
  for (const [a, b] of pairs) {
    const dev = makedev(a, b);
    expect([major(dev), minor(dev)]).toEqual([a, b]);
  }
});

describe("renameat2", () => {
  test("replaces, exchanges, and does not replace", () => {
    writeFileSync(place.path("a"), "A");
    writeFileSync(place.path("b"), "B");
    const a = cstring("a");
    const b = cstring("b");
    expect(outcome(renameat2(root, a, root, b, RENAME_NOREPLACE))).toBe("EEXIST");
    expect(renameat2(root, a, root, b, RENAME_EXCHANGE)).toBe(0);
    expect([content("a"), content("b")]).toEqual(["B", "A"]);
    expect(renameat2(root, a, root, b, 0)).toBe(0);
    expect(content("b")).toBe("B");
    expect(existsSync(place.path("a"))).toBe(false);
  });
});

describe("links", () => {
  test("linkat links a name, and a descriptor with AT_EMPTY_PATH", () => {
    const fd = place.file("one");
    expect(linkat(root, cstring("one"), root, cstring("two"), 0)).toBe(0);
    expect(linkat(fd, cstring(""), root, cstring("three"), AT_EMPTY_PATH)).toBe(0);
    expect(statSync(place.path("one")).nlink).toBe(3);
    close(fd);
  });

  test("symlinkat and readlinkat carry any bytes", () => {
    const buffer = allocate(64);
    expect(symlinkat(cstring("some/where"), root, cstring("link"))).toBe(0);
    expect(readlinkSync(place.path("link"))).toBe("some/where");
    expect(readlinkat(root, cstring("link"), buffer.address, 64)).toBe(10);
    expect(buffer.bytes.latin1Slice(0, 10)).toBe("some/where");
    expect(readlinkat(root, cstring("link"), buffer.address, 4)).toBe(4);
    expect(outcome(readlinkat(root, cstring("one"), buffer.address, 64))).toBe("EINVAL");
  });
});

describe("getdents64", () => {
  test("lists every name of a directory once, with its type", () => {
    const names = Array.from({ length: 1_500 }, (_, i) => `entry-${i}`);
    mkdirat(root, cstring("many"), 0o700);
    for (const name of names) writeFileSync(place.path(`many/${name}`), "");
    mkdirat(root, cstring("many/sub"), 0o700);
    symlinkat(cstring("sub"), root, cstring("many/link"));
    mknodat(root, cstring("many/pipe"), S_IFIFO | 0o600, 0);
    const entries = list("many");
    const expected = [".", "..", "link", "pipe", "sub", ...names];
    expect(entries.map(([name]) => name).sort()).toEqual(expected.sort());
    const types = new Map(entries);
    const asked = ["sub", "link", "pipe", "entry-7"].map((name) => types.get(name));
    expect(asked).toEqual([DT_DIR, DT_LNK, DT_FIFO, DT_REG]);
  });

  test("says when the buffer is too small and when the directory is none", () => {
    const buffer = allocate(8);
    expect(outcome(getdents64(root, buffer.address, 8))).toBe("EINVAL");
    const fd = place.file("plain");
    expect(outcome(getdents64(fd, buffer.address, 8))).toBe("ENOTDIR");
    close(fd);
  });
});

function list(name: string): [string, number][] {
  const fd = ok(openat(root, cstring(name), O_RDONLY | O_DIRECTORY, 0));
  const buffer = allocate(4096);
  const entries: [string, number][] = [];
  for (let n = 1; n > 0; ) {
    n = ok(getdents64(fd, buffer.address, buffer.size));
    for (let at = 0; at < n; at += buffer.view.getUint16(at + DIRENT.reclen, true)) {
      const start = at + DIRENT.name;
      const end = buffer.bytes.indexOf(0, start);
      const type = buffer.view.getUint8(at + DIRENT.type);
      entries.push([buffer.bytes.latin1Slice(start, end), type]);
    }
  }
  close(fd);
  return entries;
}
