/** Reading directories with getdents64(2), positions kept whole (63 bits on ext4). */
import { FFIType } from "bun:ffi";
import { addr, i32, i64, libc, u64 } from "../../../src/sys/libc.ts";
import { type Path, space } from "./arena.ts";
import { O_DIRECTORY, O_RDONLY, SEEK_SET } from "./constants.ts";
import { must } from "./failure.ts";
import { close, open } from "./open.ts";

const c = libc({
  getdents64: { args: [i32, addr, u64], returns: i64 },
});
const exact = libc({ lseek: { args: [i32, FFIType.i64, i32], returns: FFIType.i64 } });

/** One `struct linux_dirent64`; `next` is the position after it, as telldir(3) gives. */
export interface Entry {
  name: Buffer;
  ino: bigint;
  next: bigint;
  type: number;
}

/** The next entries, at most `size` bytes of them; none at the end. */
export function getdents(fd: number, size = 32768): Entry[] {
  const room = space(size);
  const length = must("getdents64", [fd, size], c.getdents64(fd, room.address, size));
  const entries: Entry[] = [];
  for (let at = 0; at < length; ) {
    const next = at + room.view.getUint16(at + 16, true);
    const name = room.bytes.subarray(at + 19, room.bytes.indexOf(0, at + 19));
    entries.push({
      name: Buffer.from(name),
      ino: room.view.getBigUint64(at, true),
      next: room.view.getBigInt64(at + 8, true),
      type: room.view.getUint8(at + 18),
    });
    at = next;
  }
  return entries;
}

/** seekdir(3): goes to a position that an entry gave. */
export function seekdir(fd: number, position: bigint): void {
  must("lseek", [fd, position], exact.lseek(fd, position, SEEK_SET));
}

/** All entries from the descriptor's position on, "." and ".." among them. */
export function readAll(fd: number, size = 32768): Entry[] {
  const all: Entry[] = [];
  for (;;) {
    const entries = getdents(fd, size);
    if (entries.length === 0) return all;
    all.push(...entries);
  }
}

/** Entries of a directory without "." and "..". */
export function entries(path: Path): Entry[] {
  const fd = open(path, O_RDONLY | O_DIRECTORY);
  try {
    return readAll(fd).filter((entry) => !isDot(entry.name));
  } finally {
    close(fd);
  }
}

function isDot(name: Buffer): boolean {
  return name.equals(Buffer.from(".")) || name.equals(Buffer.from(".."));
}

/** Sorted names of a directory as text. */
export function list(path: Path): string[] {
  return entries(path)
    .map((entry) => entry.name.toString())
    .sort();
}
