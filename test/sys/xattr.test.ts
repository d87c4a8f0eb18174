/** Extended attributes, by path and through /proc/self/fd. */
import { expect, test } from "bun:test";
import { cstring } from "../../src/sys/cstring.ts";
import { allocate } from "../../src/sys/memory.ts";
import { AT_FDCWD, close, O_PATH, openat } from "../../src/sys/open.ts";
import {
  getxattr,
  listxattr,
  removexattr,
  setxattr,
  XATTR_CREATE,
  XATTR_REPLACE,
} from "../../src/sys/xattr.ts";
import { ok, outcome, scratch, textRegion } from "./support.ts";

const place = scratch();
close(place.file("file"));
const buffer = allocate(4096);
const value = textRegion("va\0lue");
// trusted.* is what every file system of the tests has (tmpfs had no user.* before Linux 6.6).
const NAME = "trusted.qtfs";

function names(path: number): string[] {
  const n = ok(listxattr(path, buffer.address, buffer.size));
  return buffer.bytes.latin1Slice(0, n).split("\0").slice(0, -1);
}

test("a value is set, read, listed and removed; sizes are asked with 0", () => {
  const file = place.at("file");
  expect(setxattr(file, cstring(NAME), value.address, 6, 0)).toBe(0);
  expect(getxattr(file, cstring(NAME), 0, 0)).toBe(6);
  expect(getxattr(file, cstring(NAME), buffer.address, 64)).toBe(6);
  expect(buffer.bytes.latin1Slice(0, 6)).toBe("va\0lue");
  expect(listxattr(file, 0, 0)).toBeGreaterThanOrEqual(NAME.length + 1);
  expect(names(file)).toContain(NAME);
  expect(removexattr(file, cstring(NAME))).toBe(0);
  expect(names(file)).not.toContain(NAME);
});

test("each failure has its own errno", () => {
  const file = place.at("file");
  const name = cstring(NAME);
  expect(outcome(getxattr(file, name, buffer.address, 64))).toBe("ENODATA");
  expect(outcome(setxattr(file, name, value.address, 6, XATTR_REPLACE))).toBe("ENODATA");
  expect(setxattr(file, name, value.address, 6, XATTR_CREATE)).toBe(0);
  expect(outcome(setxattr(file, name, value.address, 6, XATTR_CREATE))).toBe("EEXIST");
  expect(outcome(getxattr(file, name, buffer.address, 5))).toBe("ERANGE");
  expect(outcome(listxattr(file, buffer.address, 1))).toBe("ERANGE");
  expect(outcome(setxattr(file, cstring("nospace.x"), value.address, 1, 0))).toBe("EOPNOTSUPP");
  expect(outcome(removexattr(place.at("nothing"), name))).toBe("ENOENT");
});

test("an O_PATH descriptor is reached through /proc/self/fd", () => {
  const fd = ok(openat(AT_FDCWD, place.at("file"), O_PATH, 0));
  const path = cstring(`/proc/self/fd/${fd}`);
  expect(setxattr(path, cstring("trusted.second"), value.address, 2, 0)).toBe(0);
  close(fd);
  expect(getxattr(place.at("file"), cstring("trusted.second"), buffer.address, 64)).toBe(2);
});
