/** What the supervisor knows of itself: what callers are compared with. */

import { SYS } from "../sys/arch.ts";
import { cstring } from "../sys/cstring.ts";
import { mountNowhere } from "../sys/detached.ts";
import { read } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { isNetns } from "../sys/netns.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY, openat } from "../sys/open.ts";
import { rawSyscall } from "../sys/rawsyscall.ts";
import {
  fstatfs,
  STATFS,
  STATFS_STRUCT_SIZE,
  STATX,
  STATX_INO,
  STATX_STRUCT_SIZE,
  statx,
} from "../sys/stat.ts";

/** linux/magic.h */
const NSFS_MAGIC = 0x6e73_6673;
const TEXT_MAX = 64 * 1024;
const described = allocate(STATX_STRUCT_SIZE);
const figures = allocate(STATFS_STRUCT_SIZE);
const text = allocate(TEXT_MAX);

/** This machine's procfs, whatever may be mounted at /proc. */
export class Procfs {
  /** An O_PATH descriptor of its root. */
  readonly fd: number;

  /** Throws a sentence where there is none. */
  constructor() {
    const own = mountNowhere("proc");
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    this.fd = own >= 0 ? own : openat(AT_FDCWD, cstring("/proc"), flags, 0);
    if (this.fd < 0) throw new Error(`Cannot open /proc: errno ${-this.fd}`);
  }

  /** Number of the inode that `path` leads to; -1 where it leads nowhere. */
  inode(path: string): number {
    const result = statx(this.fd, cstring(path), 0, STATX_INO, described.address);
    if (result < 0) return -1;
    return Number(described.view.getBigUint64(STATX.ino, true));
  }

  /** Whether the O_PATH descriptor `fd` is of a namespace of this machine's. */
  isNamespace(fd: number): boolean {
    if (fstatfs(fd, figures.address) !== 0) return false;
    return figures.view.getUint32(STATFS.type, true) === NSFS_MAGIC;
  }

  /** Number of the network namespace that the O_PATH descriptor `fd` is of; undefined for all else. */
  netns(fd: number): number | undefined {
    if (!this.isNamespace(fd)) return undefined;
    const own = openat(this.fd, cstring(`self/fd/${fd}`), O_RDONLY | O_CLOEXEC, 0);
    if (own < 0) return undefined;
    const isOfNetworks = isNetns(own);
    close(own);
    return isOfNetworks ? this.inode(`self/fd/${fd}`) : undefined;
  }

  /** The file at `path`, a byte a character; undefined where it cannot be read. */
  read(path: string): string | undefined {
    const fd = openat(this.fd, cstring(path), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return undefined;
    let length = 0;
    for (let got = 1; got > 0 && length < TEXT_MAX; length += Math.max(got, 0)) {
      got = read(fd, text.address + length, TEXT_MAX - length);
    }
    close(fd);
    return text.bytes.latin1Slice(0, length);
  }

  /** Where the link `path` leads, a byte a character; undefined where there is none. */
  readlink(path: string): string | undefined {
    const length = rawSyscall(SYS.readlinkat, this.fd, cstring(path), text.address, TEXT_MAX);
    return length < 0 ? undefined : text.bytes.latin1Slice(0, length);
  }
}

/** Name spaces of one thread, by their inodes. */
export interface Spaces {
  readonly mnt: number;
  readonly user: number;
  readonly pid: number;
}

/** Those of the thread `tid` in `procfs`. */
export function spacesOf(procfs: Procfs, tid: number | "self"): Spaces {
  const inode = (name: string) => procfs.inode(`${tid}/ns/${name}`);
  return { mnt: inode("mnt"), user: inode("user"), pid: inode("pid") };
}
