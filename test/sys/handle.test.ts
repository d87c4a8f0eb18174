/** File handles: they find an inode after renames, and say so when it is gone. */
import { expect, test } from "bun:test";
import { readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { cstring } from "../../src/sys/cstring.ts";
import {
  HANDLE,
  lastMountId,
  MAX_HANDLE_SZ,
  nameToHandleAt,
  openByHandleAt,
} from "../../src/sys/handle.ts";
import { read } from "../../src/sys/io.ts";
import { allocate, getWord64 } from "../../src/sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  close,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat,
} from "../../src/sys/open.ts";
import { STATX, STATX_MNT_ID, STATX_STRUCT_SIZE, statx } from "../../src/sys/stat.ts";
import { ok, outcome, scratch } from "./support.ts";

const place = scratch();
const root = ok(openat(AT_FDCWD, cstring(place.directory), O_RDONLY | O_DIRECTORY, 0));
const handle = allocate(HANDLE.data + MAX_HANDLE_SZ);
const room = (bytes: number) => handle.view.setUint32(HANDLE.bytes, bytes, true);

test("a handle opens the file after a rename, and not after its end", () => {
  writeFileSync(place.path("one"), "content");
  room(MAX_HANDLE_SZ);
  expect(nameToHandleAt(root, cstring("one"), handle.address, 0)).toBe(0);
  const used = handle.view.getUint32(HANDLE.bytes, true);
  expect(used).toBeGreaterThan(0);
  expect(used).toBeLessThan(MAX_HANDLE_SZ);
  renameSync(place.path("one"), place.path("two"));
  const fd = ok(openByHandleAt(root, handle.address, O_RDONLY));
  const buffer = allocate(16);
  expect(read(fd, buffer.address, 16)).toBe(7);
  expect(buffer.bytes.latin1Slice(0, 7)).toBe("content");
  close(fd);
  unlinkSync(place.path("two"));
  expect(outcome(openByHandleAt(root, handle.address, O_RDONLY))).toBe("ESTALE");
});

test("the mount id is the one of statx and mountinfo", () => {
  room(MAX_HANDLE_SZ);
  expect(nameToHandleAt(root, cstring(""), handle.address, AT_EMPTY_PATH)).toBe(0);
  const found = allocate(STATX_STRUCT_SIZE);
  statx(root, cstring(""), AT_EMPTY_PATH, STATX_MNT_ID, found.address);
  expect(lastMountId()).toBe(getWord64(found.words, STATX.mntId / 4));
  const lines = readFileSync("/proc/self/mountinfo", "latin1").split("\n");
  expect(lines.some((line) => line.startsWith(`${lastMountId()} `))).toBe(true);
});

test("too little room is EOVERFLOW and says how much is needed", () => {
  room(0);
  expect(outcome(nameToHandleAt(root, cstring("."), handle.address, 0))).toBe("EOVERFLOW");
  expect(handle.view.getUint32(HANDLE.bytes, true)).toBeGreaterThan(0);
});

test("a file system without handles is EOPNOTSUPP, an O_PATH mount descriptor EBADF", () => {
  room(MAX_HANDLE_SZ);
  const proc = cstring("/proc/self/status");
  expect(outcome(nameToHandleAt(AT_FDCWD, proc, handle.address, 0))).toBe("EOPNOTSUPP");
  nameToHandleAt(root, cstring("."), handle.address, 0);
  const path = ok(openat(AT_FDCWD, cstring(place.directory), O_PATH, 0));
  expect(outcome(openByHandleAt(path, handle.address, O_RDONLY))).toBe("EBADF");
  close(path);
});
