/**
 * Reaching an inode of the HOST from its row in the node table, by descriptor
 * only: no path longer than one name is ever resolved, symbolic links are never
 * followed, so nothing outside the export can be reached (DESIGN §5).
 */

import { E } from "../sys/errno.ts";
import { HANDLE, MAX_HANDLE_SZ, nameToHandleAt } from "../sys/handle.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, close, O_CLOEXEC, O_NOFOLLOW, O_PATH, openat } from "../sys/open.ts";
import { FileType, Policy, ROOT_NODE } from "../wire/constants.ts";
import type { Writer } from "../wire/writer.ts";
import { asCallerAltogether } from "./asker.ts";
import type { FileSystems } from "./filesystems.ts";
import type { Treatment } from "./fstypes.ts";
import type { HandleTable } from "./handles.ts";
import { MountFds } from "./mountfds.ts";
import type { NodeTable } from "./nodes.ts";
import { type Policies, typeOf } from "./policy.ts";
import {
  ctimeLow,
  ctimeNs,
  device,
  EMPTY_PATH,
  hasAliases,
  identify,
  keepingStatus,
  mode,
  size,
  statFd,
  statName,
  writeAttributes,
} from "./status.ts";
import type { Watcher } from "./watcher.ts";

/** Descriptors kept for inodes used lately, for all sessions of a thread apiece. */
export const CACHED_FDS_MAX = 4096;
/** Longest chain of hints that is followed upwards. */
const DEPTH_MAX = 128;
const NONE = -1;

const handleRegion = allocate(8 + MAX_HANDLE_SZ);
const procBuffer = allocate(64);
const PROC_PREFIX = "/proc/self/fd/";
procBuffer.bytes.latin1Write(PROC_PREFIX, 0);

/** Address of the path that stands for what `fd` is open on (proc(5)). */
export function procPath(fd: number): number {
  const text = String(fd);
  const bytes = procBuffer.bytes;
  bytes.latin1Write(text, PROC_PREFIX.length);
  bytes[PROC_PREFIX.length + text.length] = 0;
  return procBuffer.address;
}

export class Reach {
  /** Device of the export's root. */
  readonly device: number;
  readonly #nodes: NodeTable;
  readonly #handles: HandleTable;
  /** Rows that have a cached descriptor, in a ring swept by a clock hand. */
  readonly #ring = new Int32Array(CACHED_FDS_MAX).fill(NONE);
  readonly #used = new Uint8Array(CACHED_FDS_MAX);
  #hand = 0;
  /** Rows whose descriptors are in use and must not be evicted, or -1. */
  #pinned = NONE;
  #pinnedToo = NONE;
  readonly #mounts = new MountFds();
  readonly #watcher: Watcher;
  readonly #policies: Policies;
  readonly #fileSystems: FileSystems;

  /**
   * `rootFd` is an O_PATH descriptor of the export's root, owned from now on.
   * Throws when the table comes from a record whose root is another inode.
   */
  constructor(
    nodes: NodeTable,
    handles: HandleTable,
    rootFd: number,
    watcher: Watcher,
    policies: Policies,
    fileSystems: FileSystems,
  ) {
    this.#nodes = nodes;
    this.#handles = handles;
    this.#watcher = watcher;
    this.#policies = policies;
    this.#fileSystems = fileSystems;
    statFd(rootFd);
    const id = identify();
    this.device = id.device;
    nodes.fd[ROOT_NODE] = rootFd;
    if (policies.hasPaths) nodes.ruleOf = (row) => this.#ruledPolicy(row);
    if (nodes.count === 0) nodes.intern(id, NONE, "");
    if (nodes.find(id) !== ROOT_NODE) throw new Error("the directory exported there is another");
    nodes.policies.set(this.device, this.#choosePolicy(rootFd));
    // The root's number is fixed; its policy goes with the answer to ATTACH.
    nodes.madeWith[ROOT_NODE] = 0;
    for (const row of policies.hasPaths ? nodes.alive() : []) {
      nodes.ruled[row] = this.#ruledPolicy(row);
    }
    this.#mounts.remember(rootFd, this.device);
  }

  /**
   * An open descriptor for the inode of `row` (O_PATH unless a handle serves),
   * good until the next call; or -errno, -ESTALE when it cannot be found again.
   */
  fd(row: number, depth = 0): number {
    const nodes = this.#nodes;
    const cached = nodes.fd[row] as number;
    if (cached >= 0) {
      const slot = nodes.cacheSlot[row] as number;
      if (slot >= 0) this.#used[slot] = 1;
      return cached;
    }
    const handle = nodes.handle[row] as number;
    const opened = handle < 0 ? NONE : (this.#handles.fd[handle] as number);
    if (opened >= 0) return opened;
    const fd = this.#open(row, depth);
    if (fd >= 0) this.#cache(row, fd);
    return fd;
  }

  /** The same, leaving the descriptors that `fd` gave for one or two others open. */
  fdBeside(row: number, other: number, another = NONE): number {
    this.#pinned = other;
    this.#pinnedToo = another;
    const fd = this.fd(row);
    this.#pinned = NONE;
    this.#pinnedToo = NONE;
    return fd;
  }

  /** Describes the inode of `row` into the status buffer; 0 or -errno. */
  stat(row: number): number {
    const nodes = this.#nodes;
    if (!this.#isOpen(row)) {
      const parent = this.#hintDirectory(row, 0);
      if (parent >= 0) {
        const result = statName(parent, nodes.nameAddress(row));
        if (result === 0 && nodes.matches(row, identify())) return 0;
      }
    }
    const fd = this.fd(row);
    return fd < 0 ? fd : statFd(fd);
  }

  /**
   * Opens the inode of `row` for data with `flags`, never another one: a hint is
   * checked after the open, so flags that change something must not be among them.
   */
  open(row: number, flags: number): number {
    const nodes = this.#nodes;
    if (!this.#isOpen(row)) {
      const parent = this.#hintDirectory(row, 0);
      if (parent >= 0) {
        const name = nodes.nameAddress(row);
        const fd = openat(parent, name, flags | O_NOFOLLOW | O_CLOEXEC, 0);
        if (fd >= 0) {
          if (statFd(fd) === 0 && nodes.matches(row, identify())) return fd;
          close(fd);
        }
      }
    }
    const fd = this.fd(row);
    if (fd < 0) return fd;
    const opened = openat(-1, procPath(fd), flags | O_CLOEXEC, 0);
    if (opened >= 0) statFd(opened);
    return opened;
  }

  /** Opens the inode of `row` like `open`, as `uid`:`gid`. */
  openAs(row: number, flags: number, uid: number, gid: number): number {
    const fd = this.fd(row);
    if (fd < 0) return fd;
    const open = () => openat(-1, procPath(fd), flags | O_CLOEXEC, 0);
    const opened = asCallerAltogether(uid, gid, open);
    if (opened >= 0) statFd(opened);
    return opened;
  }

  /**
   * Opens the inode of `row` like `open`, in a process that has nothing open yet:
   * by its file handle at the address `fileHandle`, unless that is 0.
   */
  reopen(row: number, fileHandle: number, flags: number): number {
    const dev = this.#nodes.device[row] as number;
    if (fileHandle === 0) return this.open(row, flags);
    if (!this.#mounts.has(dev)) this.#findMount(row, dev);
    const fd = this.#mounts.open(dev, fileHandle, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return this.open(row, flags);
    if (statFd(fd) === 0 && this.#nodes.matches(row, identify())) return fd;
    close(fd);
    return -E.ESTALE;
  }

  /** Has a descriptor of the file system of `row`, by the directory of its hint. */
  #findMount(row: number, dev: number): void {
    const parent = this.#hintDirectory(row, 0);
    if (parent < 0) return;
    if (this.#nodes.device[this.#nodes.parent[row] as number] !== dev) return;
    this.#mounts.remember(parent, dev);
  }

  /** Whether a descriptor of `row` is at hand: the first handle is of no use if none is. */
  #isOpen(row: number): boolean {
    const handle = this.#nodes.handle[row] as number;
    return (
      (this.#nodes.fd[row] as number) >= 0 ||
      (handle >= 0 && (this.#handles.fd[handle] as number) >= 0)
    );
  }

  /** Writes the attributes of `row`, which was described last. */
  writeAttributes(w: Writer, row: number): void {
    const dev = device();
    const apart = dev === this.device ? 0 : (Math.imul(dev + 1, 0x9e3779b1) | 1) >>> 0;
    this.#nodes.toldTime[row] = ctimeLow();
    this.#nodes.toldTimeNs[row] = ctimeNs();
    this.#nodes.toldSize[row] = size() >>> 0;
    const policy = this.policy(row);
    // Changes through another of its names come under a directory that may be unknown.
    const aliased = policy === Policy.WATCHED && hasAliases();
    writeAttributes(w, apart, aliased ? Policy.ORDINARY : policy);
  }

  /** How far a client may cache `row`. */
  policy(row: number): number {
    const ruled = this.#nodes.ruled[row] as number;
    if (ruled >= 0) return ruled;
    const dev = this.#nodes.device[row] as number;
    const known = this.#nodes.policies.get(dev);
    if (known !== undefined) return known;
    // Whoever asks is about to write attributes from the status buffer.
    const fd = keepingStatus(() => this.fd(row));
    if (fd < 0) return Policy.LIVE;
    const policy = this.#choosePolicy(fd);
    this.#nodes.policies.set(dev, policy);
    // This inode was described before its file system was watched.
    return policy === Policy.WATCHED ? Policy.ORDINARY : policy;
  }

  /** Policy of `row` by the nearest rule for a directory above it, or -1. */
  #ruledPolicy(row: number): number {
    const path = this.#pathOf(row);
    const treatment = path === undefined ? undefined : this.#policies.ofPath(path);
    if (path === undefined || treatment === undefined) return NONE;
    // Whoever makes the row is about to write attributes from the status buffer.
    const fd = keepingStatus(() => this.fd(row));
    if (fd < 0) return Policy.LIVE;
    const policy = this.#apply(treatment, fd);
    if (this.#policies.isRuled(path)) this.#fileSystems.meetAt(path, typeOf(fd), policy);
    return policy;
  }

  /** Where `row` was last seen, relative to the root; undefined where that is not known. */
  #pathOf(row: number): string | undefined {
    const names: string[] = [];
    for (let at = row; at !== ROOT_NODE; at = this.#nodes.parent[at] as number) {
      if (names.length >= DEPTH_MAX || !this.#nodes.parentAlive(at)) return undefined;
      names.push(this.#nodes.nameOf(at));
    }
    return names.reverse().join("/");
  }

  /** Policy of the file system `fd` is in, which is watched from now on if it can be. */
  #choosePolicy(fd: number): number {
    const type = typeOf(fd);
    const policy = this.#apply(this.#policies.ofType(type), fd);
    this.#fileSystems.meet(fd, type, policy);
    return policy;
  }

  /** What a treatment comes to for the file system `fd` is in: not every one can be watched. */
  #apply(treatment: Treatment, fd: number): number {
    if (treatment === "live") return Policy.LIVE;
    return treatment === "watched" && this.#watcher.watch(fd) ? Policy.WATCHED : Policy.ORDINARY;
  }

  /** Closes what `row` has cached; before the row is dropped. */
  release(row: number): void {
    const slot = this.#nodes.cacheSlot[row] as number;
    if (slot >= 0) this.#evict(slot, false);
    const fd = this.#nodes.fd[row] as number;
    if (fd >= 0) close(fd);
    this.#nodes.fd[row] = NONE;
  }

  /** Closes everything; the session has ended. */
  close(): void {
    for (let slot = 0; slot < CACHED_FDS_MAX; slot++) {
      if ((this.#ring[slot] as number) >= 0) this.#evict(slot, false);
    }
    this.release(ROOT_NODE);
    this.#mounts.close();
  }

  /** Descriptor of the directory of a row's hint, or -ESTALE. */
  #hintDirectory(row: number, depth: number): number {
    if (depth >= DEPTH_MAX || !this.#nodes.parentAlive(row)) return -E.ESTALE;
    return this.fd(this.#nodes.parent[row] as number, depth + 1);
  }

  #open(row: number, depth: number): number {
    const nodes = this.#nodes;
    const fileHandle = nodes.fileHandles.get(row);
    if (fileHandle !== undefined) {
      handleRegion.bytes.latin1Write(fileHandle, 0);
      const flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
      const fd = this.#mounts.open(nodes.device[row] as number, handleRegion.address, flags);
      if (fd >= 0) return fd;
    }
    const parent = this.#hintDirectory(row, depth);
    if (parent < 0) return -E.ESTALE;
    const name = nodes.nameAddress(row);
    const fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0) return fd === -E.EMFILE || fd === -E.ENFILE || fd === -E.ENOMEM ? fd : -E.ESTALE;
    if (statFd(fd) === 0 && nodes.matches(row, identify())) return fd;
    close(fd);
    return -E.ESTALE;
  }

  #cache(row: number, fd: number): void {
    while ((this.#ring[this.#hand] as number) !== NONE) {
      const there = this.#ring[this.#hand];
      const pinned = there === this.#pinned || there === this.#pinnedToo;
      if (this.#used[this.#hand] === 0 && !pinned) {
        this.#evict(this.#hand, true);
        break;
      }
      this.#used[this.#hand] = 0;
      this.#advance();
    }
    this.#ring[this.#hand] = row;
    this.#used[this.#hand] = 1;
    this.#nodes.fd[row] = fd;
    this.#nodes.cacheSlot[row] = this.#hand;
    this.#advance();
  }

  #advance(): void {
    this.#hand = (this.#hand + 1) % CACHED_FDS_MAX;
  }

  #evict(slot: number, keepHandle: boolean): void {
    const row = this.#ring[slot] as number;
    const fd = this.#nodes.fd[row] as number;
    if (keepHandle) this.#keepFileHandle(row, fd);
    close(fd);
    this.#nodes.fd[row] = NONE;
    this.#nodes.cacheSlot[row] = NONE;
    this.#ring[slot] = NONE;
  }

  #keepFileHandle(row: number, fd: number): void {
    const { bytes, view, address } = handleRegion;
    view.setUint32(HANDLE.bytes, MAX_HANDLE_SZ, true);
    if (nameToHandleAt(fd, EMPTY_PATH, address, AT_EMPTY_PATH) !== 0) return;
    const length = HANDLE.data + view.getUint32(HANDLE.bytes, true);
    this.#nodes.fileHandles.set(row, bytes.latin1Slice(0, length));
    if (statFd(fd) === 0 && (mode() & FileType.MASK) === FileType.DIRECTORY) {
      this.#mounts.remember(fd, this.#nodes.device[row] as number);
    }
  }
}
