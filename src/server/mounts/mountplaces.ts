/**
 * Reaching a mount of the HOST by its path. No symbolic link is followed on the way,
 * and no descriptor of the mount itself is ever opened but by `openRootOf`: umount(2)
 * would fail. What is opened is the directory it is in, which is in another mount.
 */
import { PathBuffer } from "../../sys/cstring.ts";
import { cloneMount } from "../../sys/detached.ts";
import { E } from "../../sys/errno.ts";
import { allocate, type Region } from "../../sys/memory.ts";
import { STATX_MNT_ID_UNIQUE } from "../../sys/mountid.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_NO_AUTOMOUNT,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  openat,
  openat2,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../../sys/open.ts";
import {
  STATX,
  STATX_INO,
  STATX_MNT_ID,
  STATX_STRUCT_SIZE,
  STATX_TYPE,
  statx,
} from "../../sys/stat.ts";
import { FileType } from "../../wire/constants.ts";
import { PATH_MAX } from "../../wire/limits.ts";
import { device, EMPTY_PATH, identify, statFd } from "../status.ts";
import type { HostMount } from "./mountlines.ts";

const ON_THE_WAY = O_PATH | O_DIRECTORY | O_CLOEXEC;
const IN_PLACE = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
const paths = new PathBuffer(2);
const region = allocate(STATX_STRUCT_SIZE);
const { view } = region;

/** Types whose mounts ask another machine as soon as they are looked at (their d_weak_revalidate). */
const NETWORK = /^(nfs4?|cifs|smb3|9p|afs|ceph|lustre|gpfs)$/;
/** Types whose files a program of the HOST answers for. */
const PROGRAMS = /^(fuse|fuseblk|autofs)(\.|$)/;

/** A statx(2) to be made in another thread. */
export interface Asking {
  readonly args: readonly number[];
  readonly dirfd: number;
  readonly memory: Region;
}

/**
 * Number of the mount that `fd` is in, among those of the table: their kind
 * depends on the kernel. 0 where it cannot be told.
 */
export function mountNumberOf(fd: number, isKnown: (number: number) => boolean): number {
  for (const mask of [STATX_MNT_ID_UNIQUE, STATX_MNT_ID]) {
    if (statx(fd, EMPTY_PATH, AT_EMPTY_PATH, mask, region.address) !== 0) return 0;
    const number = view.getUint32(STATX.mntId, true);
    if ((view.getUint32(STATX.mask, true) & mask) !== 0 && isKnown(number)) return number;
  }
  return 0;
}

/** A private copy of the mount that `fd` is in, beginning there, without what is mounted in it; or -errno. */
export function copyOf(fd: number): number {
  return cloneMount(fd, EMPTY_PATH, AT_EMPTY_PATH);
}

/** A copy of `mount`, as `copyOf` gives; -ENOENT where another is in its place by now. */
export function copyMount(mount: HostMount): number {
  return inDirectoryOf(mount, (dirfd, name) => {
    const copy = cloneMount(dirfd, name, IN_PLACE);
    if (copy < 0 || (isThere(mount, dirfd, name) && isCopyOfSeen(copy))) return copy;
    close(copy);
    return -E.ENOENT;
  });
}

/** Finds out what the root of `mount` is; whether it could be told. */
export function describeRoot(mount: HostMount): boolean {
  if (NETWORK.test(mount.type)) {
    // Files of these are seldom mounted, and to ask may take for ever.
    mount.rootType = FileType.DIRECTORY;
    mount.device = deviceOf(mount);
    return true;
  }
  const result = inDirectoryOf(mount, (dirfd, name) =>
    isThere(mount, dirfd, name) ? 0 : -E.ENOENT,
  );
  if (result !== 0) return false;
  mount.rootType = view.getUint16(STATX.mode, true) & FileType.MASK;
  mount.device = seenDevice();
  return true;
}

/** A descriptor (O_PATH) of the mount on the HOST, which keeps it from being unmounted; or -errno. */
export function openRootOf(mount: HostMount): number {
  return inDirectoryOf(mount, (dirfd, name) => {
    const fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0 || isThere(mount, fd, EMPTY_PATH)) return fd;
    close(fd);
    return -E.ENOENT;
  });
}

/** A descriptor (O_PATH) of the directory that `mount` is in, or -errno. */
function openDirectoryOf({ path }: HostMount): number {
  if (path.length > PATH_MAX) return -E.ENAMETOOLONG;
  const way = paths.putLatin1(0, path.slice(0, Math.max(path.lastIndexOf("/"), 1)));
  return openat2(AT_FDCWD, way, ON_THE_WAY, 0, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

/** Name of `mount` in its directory. */
function nameOf({ path }: HostMount): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Calls `work` with the directory that `mount` is in and its name there, or gives -errno. */
function inDirectoryOf(mount: HostMount, work: (dirfd: number, name: number) => number): number {
  const dirfd = openDirectoryOf(mount);
  if (dirfd < 0) return dirfd;
  const result = work(dirfd, paths.putLatin1(1, nameOf(mount)));
  close(dirfd);
  return result;
}

/** Whether somebody else must answer for `mount`, another machine or a program, who may take for ever. */
export function mayHang({ type }: HostMount): boolean {
  return NETWORK.test(type) || PROGRAMS.test(type);
}

/** What waits for that answer: arguments of statx(2), descriptor and memory to let go of; or -errno. */
export function askingFor(mount: HostMount): Asking | number {
  const dirfd = openDirectoryOf(mount);
  if (dirfd < 0) return dirfd;
  const memory = allocate(STATX_STRUCT_SIZE + PATH_MAX + 1);
  memory.bytes.latin1Write(nameOf(mount), STATX_STRUCT_SIZE);
  const { address } = memory;
  const args = [dirfd, address + STATX_STRUCT_SIZE, IN_PLACE, STATX_TYPE | STATX_INO, address];
  return { args, dirfd, memory };
}

/** Whether `mount` is what is at `name`; described then. */
function isThere({ number, id }: HostMount, dirfd: number, name: number): boolean {
  const kind = number === id ? STATX_MNT_ID : STATX_MNT_ID_UNIQUE;
  const flags = IN_PLACE | AT_STATX_DONT_SYNC | (name === EMPTY_PATH ? AT_EMPTY_PATH : 0);
  const result = statx(dirfd, name, flags, STATX_TYPE | STATX_INO | kind, region.address);
  if (result !== 0 || (view.getUint32(STATX.mask, true) & kind) === 0) return false;
  return view.getUint32(STATX.mntId, true) === number;
}

/** Whether `copy` begins at what was described last. */
function isCopyOfSeen(copy: number): boolean {
  if (statFd(copy) !== 0) return false;
  const { inoLow, inoHigh } = identify();
  return (
    device() === seenDevice() &&
    inoLow === view.getUint32(STATX.ino, true) &&
    inoHigh === view.getUint32(STATX.ino + 4, true)
  );
}

/** Device of the file system as mountinfo has it, which for some (btrfs) is not that of a file. */
function deviceOf({ origin }: HostMount): number {
  const [major = 0, minor = 0] = (origin.split(" ")[0] as string).split(":").map(Number);
  return ((major << 20) | minor) >>> 0;
}

function seenDevice(): number {
  const [major, minor] = [STATX.devMajor, STATX.devMinor].map((at) => view.getUint32(at, true));
  return (((major ?? 0) << 20) | (minor ?? 0)) >>> 0;
}
