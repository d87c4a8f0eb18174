/**
 * The system calls of the load generator, on addresses made before the
 * measurement, so that a call costs the kernel's time and little else.
 */
import { errnoName } from "../../../src/sys/errno.ts";
import { addr, i32, i64, libc } from "../../../src/sys/libc.ts";
import { allocate } from "../../../src/sys/memory.ts";
import { AT_FDCWD, openat } from "../../../src/sys/open.ts";
import {
  STATX,
  STATX_BASIC_STATS,
  STATX_STRUCT_SIZE,
  statx as statxInto,
} from "../../../src/sys/stat.ts";

const c = libc({
  posix_fadvise: { args: [i32, i64, i64, i32], returns: i32 },
  clock_gettime: { args: [i32, addr], returns: i32 },
});
const POSIX_FADV_DONTNEED = 4;
const CLOCK_MONOTONIC = 1;
const timespec = allocate(16);
const statBuffer = allocate(STATX_STRUCT_SIZE);

/** statx(2) of basic stats into this thread's buffer; 0 or -errno. */
export function statx(dirfd: number, path: number, flags: number): number {
  return statxInto(dirfd, path, flags, STATX_BASIC_STATS, statBuffer.address);
}

/** The device of the last `statx`, as one number (major · 2^20 + minor). */
export function lastDevice(): number {
  const { view } = statBuffer;
  return view.getUint32(STATX.devMajor, true) * 0x100000 + view.getUint32(STATX.devMinor, true);
}

/** Takes the clean pages of an open file out of the page cache. */
export function dropPages(fd: number): void {
  c.posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** Milliseconds of CLOCK_MONOTONIC: the same clock in all threads, unlike Bun's own. */
export function clockMs(): number {
  c.clock_gettime(CLOCK_MONOTONIC, timespec.address);
  const { view } = timespec;
  return Number(view.getBigInt64(0, true)) * 1e3 + Number(view.getBigInt64(8, true)) / 1e6;
}

/** `result`, or an error that names the call and its errno. */
export function check(result: number, call: string): number {
  if (result < 0) throw new Error(`${call}: ${errnoName(result)}`);
  return result;
}

/** NUL-terminated strings at addresses that stay, in one region. */
export function cStrings(strings: string[]): number[] {
  const encoded = strings.map((string) => Buffer.from(`${string}\0`));
  const region = allocate(encoded.reduce((sum, bytes) => sum + bytes.length, 0));
  let used = 0;
  return encoded.map((bytes) => {
    region.bytes.set(bytes, used);
    used += bytes.length;
    return region.address + used - bytes.length;
  });
}

/** Opens a path again and again, encoded once. Throws with the errno. */
export function opener(path: string, flags: number): () => number {
  const [address] = cStrings([path]) as [number];
  return () => check(openat(AT_FDCWD, address, flags, 0o644), `open ${path}`);
}
