/**
 * The door to the C library: typed symbols, and errno right after a call.
 *
 * Every wrapper in `src/sys` returns the call's result, or `-errno`, as the
 * kernel itself does: no exceptions on hot paths, nothing to allocate.
 */
import { dlopen, type FFIFunction, FFIType, type Pointer, read } from "bun:ffi";

const LIBC = "libc.so.6";

/** Argument types of C; the `_fast` ones come back as numbers below 2^53. */
export const i32 = FFIType.i32;
export const u32 = FFIType.u32;
export const i64 = FFIType.i64_fast;
export const u64 = FFIType.u64_fast;
/** An address as a plain number: user space stays below 2^47. */
export const addr = FFIType.u64_fast;

/** Loads `symbols` from the C library; each family file names what it needs. */
export function libc<const T extends Record<string, FFIFunction>>(symbols: T) {
  return dlopen(LIBC, symbols).symbols;
}

const location = libc({ __errno_location: { args: [], returns: "ptr" } });

// One copy of this module lives in each Worker, and errno is per thread, so
// the address is taken once per thread (bun-techniques §2).
const errnoAddress = location.__errno_location() as Pointer;

/** errno of the call this thread made last; ask before making another. */
export function errno(): number {
  return read.i32(errnoAddress, 0);
}

/** `result`, or `-errno` where the C library returned -1. */
export function orErrno(result: number | bigint): number {
  const value = Number(result);
  return value < 0 ? -errno() : value;
}
