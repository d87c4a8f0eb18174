/** File handles: names for inodes that outlive descriptors, renames and restarts. */
import { addr, i32, libc, orErrno } from "./libc.ts";
import { allocate } from "./memory.ts";

const c = libc({
  name_to_handle_at: { args: [i32, addr, addr, addr, i32], returns: i32 },
  open_by_handle_at: { args: [i32, addr, i32], returns: i32 },
});

/** struct file_handle: bytes u32 (of the data), type i32, then the data. */
export const HANDLE = { bytes: 0, type: 4, data: 8 } as const;

// bits/fcntl-linux.h: the most data a handle has
export const MAX_HANDLE_SZ = 128;

const mountId = allocate(4);

/**
 * name_to_handle_at(2). The caller sets the u32 at HANDLE.bytes to the room
 * behind HANDLE.data (MAX_HANDLE_SZ) before each call; the kernel stores what
 * it used. `flags`: AT_EMPTY_PATH, AT_SYMLINK_FOLLOW. Returns 0 or -errno;
 * EOPNOTSUPP where the file system has no handles, EOVERFLOW for too little room.
 */
export function nameToHandleAt(
  dirfd: number,
  path: number,
  handleAddress: number,
  flags: number,
): number {
  return orErrno(c.name_to_handle_at(dirfd, path, handleAddress, mountId.address, flags));
}

/** The mount id (first field of /proc/self/mountinfo) of this thread's last nameToHandleAt. */
export function lastMountId(): number {
  return mountId.view.getInt32(0, true);
}

/**
 * open_by_handle_at(2): a descriptor or -errno, ESTALE when the inode is gone.
 *
 * `mountFd` is any descriptor on that file system, but not an O_PATH one;
 * needs CAP_DAC_READ_SEARCH.
 */
export function openByHandleAt(mountFd: number, handleAddress: number, flags: number): number {
  return orErrno(c.open_by_handle_at(mountFd, handleAddress, flags));
}
