/** ioctl(2) with an argument of fixed size in memory of ours. */
import { addr, i32, libc, orErrno, u64 } from "./libc.ts";
import { allocate, type Bytes } from "./memory.ts";

const c = libc({ ioctl: { args: [i32, u64, addr], returns: i32 } });

/** The largest argument a command's number can describe (asm-generic/ioctl.h). */
const ARGUMENT_MAX = 16 * 1024;
const argument = allocate(ARGUMENT_MAX);

/**
 * Runs `command` on `fd` with `source[start, start + length)` as its argument,
 * zeros behind it. Calls `done` with the result and the argument as the command
 * left it and returns 0, or returns a positive errno.
 */
export function ioctlAt(
  fd: number,
  command: number,
  source: Bytes,
  start: number,
  length: number,
  done: (result: number, argument: Bytes) => void,
): number {
  if (length > ARGUMENT_MAX) return 22;
  argument.bytes.fill(0);
  argument.bytes.set(source.subarray(start, start + length));
  const result = orErrno(c.ioctl(fd, command, argument.address));
  if (result < 0) return -result;
  done(result, argument.bytes);
  return 0;
}

/** Runs `command` on `fd` with the address of its argument; the result or -errno. */
export function ioctl(fd: number, command: number, argumentAddress: number): number {
  return orErrno(c.ioctl(fd, command, argumentAddress));
}
