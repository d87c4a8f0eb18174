/**
 * The thread whose call is looked at: its memory, and what its paths mean. A path is resolved
 * as the kernel would do it for that thread, from its root and its working directory.
 */
import { cstring, PathBuffer } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { setFsGid, setFsUid, setGroups } from "../sys/identity.ts";
import { allocate } from "../sys/memory.ts";
import { AT_FDCWD, close, O_CLOEXEC, O_DIRECTORY, O_PATH, openat } from "../sys/open.ts";
import { chroot, fchdir, unshareFs } from "../sys/process.ts";
import { readMemory, writeMemory } from "../sys/processmemory.ts";
import { type Procfs, type Spaces, spacesOf } from "./spaces.ts";

const PAGE = 4096;
/** A path, or the options of a mount: what the kernel copies of either. */
const TEXT_MAX = PAGE;
const GROUPS_MAX = 65_536;
/** linux/capability.h */
const CAP_DAC_READ_SEARCH = 2;

const text = allocate(2 * PAGE);
const groups = allocate(4 * GROUPS_MAX);
const paths = new PathBuffer(1);
const HERE = new PathBuffer(1).put(0, ".");

/** Names of one's own in procfs: there they must mean the caller. */
const OWN = /^\/(?:proc\/(self|thread-self)|dev\/(fd))(\/.*)?$/s;

/** Gives the calling thread a root of its own: to be called once before any Caller is made. */
export function prepareThread(): void {
  const result = unshareFs();
  if (result < 0) throw new Error(`Cannot have a root of its own: errno ${-result}`);
}

export class Caller {
  readonly tid: number;
  readonly #procfs: Procfs;
  readonly #own: Spaces;
  #status: string | undefined;

  constructor(procfs: Procfs, own: Spaces, tid: number) {
    this.#procfs = procfs;
    this.#own = own;
    this.tid = tid;
  }

  /** Whether its mounts are its own, or it is root in a user name space alone: its calls are not ours. */
  get isPrivate(): boolean {
    const { mnt, user } = spacesOf(this.#procfs, this.tid);
    return mnt !== this.#own.mnt || user !== this.#own.user;
  }

  /** Whether it has a capability (linux/capability.h). */
  has(capability: number): boolean {
    const effective = BigInt(`0x${this.#field("CapEff") || "0"}`);
    return ((effective >> BigInt(capability)) & 1n) === 1n;
  }

  /** Whether it numbers processes as we do. */
  get countsAsWeDo(): boolean {
    return spacesOf(this.#procfs, this.tid).pid === this.#own.pid;
  }

  /** Its effective user. */
  get uid(): number {
    return Number(this.#field("Uid").split(/\s+/)[1]);
  }

  /** Number of its process. */
  get process(): number {
    return Number(this.#field("Tgid"));
  }

  #field(name: string): string {
    this.#status ??= this.#procfs.read(`${this.tid}/status`) ?? "";
    return new RegExp(`^${name}:[ \\t]*(.*)$`, "m").exec(this.#status)?.[1] ?? "";
  }

  /** The text at `address`, a byte a character, at most a page; or -errno. Empty for NULL. */
  text(address: number): string | number {
    if (address === 0) return "";
    let length = 0;
    while (length < TEXT_MAX) {
      // Not beyond a page's end: what follows may not be there.
      const n = PAGE - ((address + length) % PAGE);
      const got = readMemory(this.tid, address + length, text.address + length, n);
      if (got <= 0) return got === 0 ? -E.EFAULT : got;
      const end = text.bytes.indexOf(0, length);
      if (end >= 0 && end < length + got) return text.bytes.latin1Slice(0, end);
      length += got;
    }
    return -E.ENAMETOOLONG;
  }

  /** Copies `length` bytes at `address` of its memory to `own`: 0 or -errno. */
  get(address: number, own: number, length: number): number {
    const got = readMemory(this.tid, address, own, length);
    return got < 0 ? got : got === length ? 0 : -E.EFAULT;
  }

  /** Puts `length` bytes from `own` at `address` of its memory: 0 or -errno. */
  put(address: number, own: number, length: number): number {
    return writeMemory(this.tid, address, own, length);
  }

  /** An O_PATH descriptor of what it has open as `fd`, or -errno. */
  descriptor(fd: number): number {
    return openat(this.#procfs.fd, cstring(`${this.tid}/fd/${fd | 0}`), O_PATH | O_CLOEXEC, 0);
  }

  /**
   * An O_PATH descriptor of what `path` (a byte a character) means to it, relative to its
   * descriptor `dirfd` or AT_FDCWD; or -errno. `flags`: O_NOFOLLOW or 0.
   */
  open(dirfd: number, path: string, flags = 0): number {
    if (path === "") return -E.ENOENT;
    const own = OWN.exec(path);
    if (own !== null) return this.#openOwn(own, flags);
    const isAbsolute = path.startsWith("/");
    const base = isAbsolute ? AT_FDCWD : this.#base(dirfd | 0);
    if (base < 0 && base !== AT_FDCWD) return base;
    const found = this.#asCaller(() => this.#inRoot(base, path, flags));
    if (base >= 0) close(base);
    return found;
  }

  /** The directory that relative paths begin at. */
  #base(dirfd: number): number {
    return dirfd === AT_FDCWD ? this.#openProc("cwd") : this.descriptor(dirfd);
  }

  #openProc(name: string): number {
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    return openat(this.#procfs.fd, cstring(`${this.tid}/${name}`), flags, 0);
  }

  #openOwn([, self, fd, rest = ""]: RegExpExecArray, flags: number): number {
    const { process } = this;
    if (process === 0) return -E.ESRCH;
    const top = fd !== undefined ? `${process}/fd` : `${process}`;
    const path = self === "thread-self" ? `${process}/task/${this.tid}` : top;
    return this.#asCaller(() =>
      openat(this.#procfs.fd, paths.putLatin1(0, path + rest), O_PATH | O_CLOEXEC | flags, 0),
    );
  }

  /** Resolves with its root as ours, where that is another. */
  #inRoot(base: number, path: string, flags: number): number {
    const open = () => openat(base, paths.putLatin1(0, path), O_PATH | O_CLOEXEC | flags, 0);
    if (this.#procfs.readlink(`${this.tid}/root`) === "/") return open();
    const root = this.#openProc("root");
    if (root < 0) return root;
    const ours = openat(AT_FDCWD, cstring("/"), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    try {
      const entered = fchdir(root) || chroot(HERE);
      return entered < 0 ? entered : open();
    } finally {
      fchdir(ours);
      chroot(HERE);
      close(root);
      close(ours);
    }
  }

  /** With the rights of a caller that may not go through every directory. */
  #asCaller(act: () => number): number {
    const [, , , fsUid = 0] = this.#field("Uid").split(/\s+/).map(Number);
    if (fsUid === 0 || this.has(CAP_DAC_READ_SEARCH)) return act();
    const [, , , fsGid = 0] = this.#field("Gid").split(/\s+/).map(Number);
    const numbers = this.#field("Groups").split(" ").filter(Boolean).map(Number);
    for (const [i, gid] of numbers.entries()) groups.words[i] = gid;
    setGroups(groups.address, numbers.length);
    setFsGid(fsGid);
    setFsUid(fsUid);
    const result = act();
    setFsUid(0);
    setFsGid(0);
    setGroups(groups.address, 0);
    return result;
  }
}
