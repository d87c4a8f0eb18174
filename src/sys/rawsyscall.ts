/** System calls without a wrapper in the C library, or with one that does more. */
import { i64, libc, orErrno } from "./libc.ts";

const c = libc({
  syscall: { args: [i64, i64, i64, i64, i64, i64, i64], returns: i64 },
});

/**
 * Runs system call `nr` (`SYS` of arch.ts) with up to six arguments: numbers,
 * descriptors or addresses.
 *
 * It acts on the calling thread only, where the C library's setuid family
 * would reach every thread (nptl(7)). Returns the result or -errno.
 */
export function rawSyscall(nr: number, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0): number {
  return orErrno(c.syscall(nr, a0, a1, a2, a3, a4, a5));
}
