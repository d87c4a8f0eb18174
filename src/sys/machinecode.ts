/** Instructions that no library has, written into memory that may be executed. */
import { addr, i32, libc, orErrno, u64 } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({ mprotect: { args: [addr, u64, i32], returns: i32 } });

// asm-generic/mman-common.h
const PROT_READ_EXEC = 0x5;

/** The address of a copy of `code` that may be called and stays for ever; or -errno. */
export function makeCode(code: Uint8Array): number {
  const page = allocate(code.length);
  page.bytes.set(code);
  const result = orErrno(c.mprotect(page.address, page.size, PROT_READ_EXEC));
  return result < 0 ? result : page.address;
}
