/**
 * Numbers of mounts that are never used again (Linux 6.8): those of mountinfo are
 * the lowest that are free. Kept apart because Debian 12's headers have none of it.
 */
import { SYS } from "./arch.ts";
import { allocate, putWord64 } from "./memory.ts";
import { rawSyscall } from "./rawsyscall.ts";

/** linux/stat.h: asks statx(2) for the number in STATX.mntId. */
export const STATX_MNT_ID_UNIQUE = 0x4000;

/** struct mnt_id_req of linux/mount.h: size and spare u32, then u64. */
const REQUEST = { size: 0, mnt_id: 8, param: 16 } as const;
const REQUEST_STRUCT_SIZE = 24;
/** LSMT_ROOT: all mounts of the name space that can be reached from the process's root. */
const LSMT_ROOT_WORD = 0xffff_ffff;

const request = allocate(REQUEST_STRUCT_SIZE);
request.view.setUint32(REQUEST.size, REQUEST_STRUCT_SIZE, true);
request.words.fill(LSMT_ROOT_WORD, REQUEST.mnt_id / 4, REQUEST.param / 4);

/**
 * listmount(2): puts the numbers (u64) of at most `count` mounts that follow `after` at
 * `address`, in the order of /proc/self/mountinfo. Returns how many, or -errno (-ENOSYS).
 */
export function listMounts(address: number, count: number, after = 0): number {
  putWord64(request.words, REQUEST.param / 4, after);
  return rawSyscall(SYS.listmount, request.address, address, count, 0);
}
