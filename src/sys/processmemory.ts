/** Memory of another process (process_vm_readv(2)); who may trace it may reach it. */
import { SYS } from "./arch.ts";
import { E } from "./errno.ts";
import { IOVEC, IOVEC_STRUCT_SIZE } from "./io.ts";
import { allocate, putWord64 } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";

/** One's own part, then the other's. */
const parts = allocate(2 * IOVEC_STRUCT_SIZE);

function transfer(nr: number, tid: number, own: number, other: number, length: number): number {
  for (const [i, base] of [own, other].entries()) {
    const at = (i * IOVEC_STRUCT_SIZE) / 4;
    putWord64(parts.words, at + IOVEC.base / 4, base);
    putWord64(parts.words, at + IOVEC.len / 4, length);
  }
  const { address } = parts;
  return rawSyscall(nr, tid, address, 1, address + IOVEC_STRUCT_SIZE, 1, 0);
}

/**
 * Copies `length` bytes at `other` in the memory of thread `tid` to `own`: bytes copied, fewer
 * where what follows is not mapped, or -errno (EFAULT, ESRCH).
 */
export function readMemory(tid: number, other: number, own: number, length: number): number {
  return transfer(SYS.process_vm_readv, tid, own, other, length);
}

/** The same the other way: 0, or -errno (EFAULT where not all of it could be written). */
export function writeMemory(tid: number, other: number, own: number, length: number): number {
  const written = transfer(SYS.process_vm_writev, tid, own, other, length);
  return written < 0 ? written : written === length ? 0 : -E.EFAULT;
}
