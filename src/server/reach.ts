/**
 * Reaching an inode of the HOST from its row in the node table, by descriptor
 * only: no path longer than one name is ever resolved, symbolic links are never
 * followed, so nothing outside the export can be reached (DESIGN §5).
 */

import { E } from "../sys/errno.ts";
import { HANDLE, MAX_HANDLE_SZ, nameToHandleAt } from "../sys/handle.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, close, O_CLOEXEC, O_NOFOLLOW, O_PATH, openat } from "../sys/open.ts";
import { FileType, Policy, ROOT_MOUNT, ROOT_NODE } from "../wire/constants.ts";
import type { Writer } from "../wire/writer.ts";
import { asCallerAltogether } from "./asker.ts";
import { FdRing } from "./fdring.ts";
import type { FileSystems } from "./filesystems.ts";
import type { HandleTable } from "./handles.ts";
import { openMagic } from "./magic.ts";
import { MountFds } from "./mountfds.ts";
import type { NodeTable } from "./nodes.ts";
import type { Policies } from "./policy.ts";
import { RowPolicies } from "./rowpolicies.ts";
import {
  ctimeLow,
  ctimeNs,
  device,
  EMPTY_PATH,
  hasAliases,
  identify,
  mode,
  size,
  statFd,
  statName,
  writeAttributes,
} from "./status.ts";
import type { Watcher } from "./watcher.ts";

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

function isSpecialType(mode: number): boolean {
  const type = mode & FileType.MASK;
  return type !== FileType.REGULAR && type !== FileType.DIRECTORY && type !== FileType.SYMLINK;
}

export class Reach {
  /** Device of the export's root. */
  readonly device: number;
  readonly #nodes: NodeTable;
  readonly #handles: HandleTable;
  readonly #cached: FdRing;
  readonly #mounts = new MountFds();
  /** Devices of the roots of mounts that are trees of their own. */
  readonly #mountDevices = new Map<number, number>();
  /** Rows of devices, FIFOs and sockets that the client was told of. */
  readonly #special = new Set<number>();
  /** Whether another process has told it of some. */
  readonly #isOld: boolean;
  readonly #policies: RowPolicies;

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
    this.#cached = new FdRing(nodes, (row, fd) => this.#keepFileHandle(row, fd));
    this.#policies = new RowPolicies(nodes, (row) => this.fd(row), watcher, policies, fileSystems);
    statFd(rootFd);
    const id = identify();
    this.device = id.device;
    nodes.fd[ROOT_NODE] = rootFd;
    this.#policies.ruleNewRows();
    this.#isOld = nodes.count > 0;
    if (!this.#isOld) nodes.intern(id, NONE, "");
    if (nodes.find(id) !== ROOT_NODE) throw new Error("the directory exported there is another");
    this.#policies.meetDevice(rootFd, this.device, "");
    // The root's number is fixed; its policy goes with the answer to ATTACH.
    nodes.madeWith[ROOT_NODE] = 0;
    this.#policies.ruleOldRows();
    this.#mounts.remember(rootFd, ROOT_MOUNT, this.device);
  }

  /**
   * Reaches the nodes of `mount` from now on by `fd`, an O_PATH descriptor of its root
   * `row`, owned until the row is released.
   */
  addMount(mount: number, row: number, fd: number, isDirectory: boolean): void {
    const nodes = this.#nodes;
    const dev = nodes.device[row] as number;
    this.release(row);
    nodes.fd[row] = fd;
    this.#mountDevices.set(mount, dev);
    if (isDirectory) this.#mounts.remember(fd, mount, dev);
  }

  /**
   * A mount at `path` below the root begins, of which `fd` is the root: its device has
   * another policy perhaps, because what had its number before may be gone.
   */
  beginMount(mount: number, fd: number, device: number, path: string): void {
    this.#policies.beginMount(mount, fd, device, path);
  }

  /** Closes what is not of one row of `mount`. */
  dropMount(mount: number): void {
    this.#mountDevices.delete(mount);
    this.#policies.dropMount(mount);
    this.#mounts.drop(mount);
  }

  /**
   * An open descriptor for the inode of `row` (O_PATH unless a handle serves),
   * good until the next call; or -errno, -ESTALE when it cannot be found again.
   */
  fd(row: number, depth = 0): number {
    const nodes = this.#nodes;
    const cached = nodes.fd[row] as number;
    if (cached >= 0) {
      this.#cached.use(row);
      return cached;
    }
    const handle = nodes.handle[row] as number;
    const opened = handle < 0 ? NONE : (this.#handles.fd[handle] as number);
    if (opened >= 0) return opened;
    const fd = this.#open(row, depth);
    if (fd >= 0) this.#cached.put(row, fd);
    return fd;
  }

  /** The same, leaving the descriptors that `fd` gave for one or two others open. */
  fdBeside(row: number, other: number, another = NONE): number {
    this.#cached.pin(other, another);
    const fd = this.fd(row);
    this.#cached.pin(NONE, NONE);
    return fd;
  }

  /**
   * Keeps the inode of `row` within reach though it is about to lose a name, leaving the
   * descriptors of two others open. A handle does not do: who looked the name up may come to
   * open it when that is closed.
   */
  hold(row: number, other: number, another: number): void {
    const fd = this.fdBeside(row, other, another);
    if (fd < 0 || (this.#nodes.fd[row] as number) >= 0) return;
    const own = openat(-1, procPath(fd), O_PATH | O_CLOEXEC, 0);
    if (own < 0) return;
    this.#cached.pin(other, another);
    this.#cached.put(row, own);
    this.#cached.pin(NONE, NONE);
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
    const mount = this.#nodes.mountOf(row);
    if (fileHandle === 0) return this.open(row, flags);
    if (!this.#mounts.has(mount, dev)) this.#findMount(row, mount, dev);
    const fd = this.#mounts.open(mount, dev, fileHandle, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return this.open(row, flags);
    if (statFd(fd) === 0 && this.#nodes.matches(row, identify())) return fd;
    close(fd);
    return -E.ESTALE;
  }

  /**
   * Whether `row` is no file or directory, so that opening it may do who knows what: it
   * is described then. Tells it without a system call of almost all that are.
   */
  isSpecial(row: number): boolean {
    if (!this.#isOld && !this.#special.has(row)) return false;
    return this.stat(row) === 0 && isSpecialType(mode());
  }

  /**
   * Descriptor of the directory that has `row`, which is described then, under the
   * name of its hint; or -ESTALE.
   */
  directoryOf(row: number): number {
    const parent = this.#hintDirectory(row, 0);
    if (parent < 0) return parent;
    const found = statName(parent, this.#nodes.nameAddress(row));
    return found === 0 && this.#nodes.matches(row, identify()) ? parent : -E.ESTALE;
  }

  /** Reaches `row` by `fd`, which is of its inode and is owned from now on. */
  adopt(row: number, fd: number): void {
    if ((this.#nodes.fd[row] as number) >= 0) close(fd);
    else this.#cached.put(row, fd);
  }

  /** Has a descriptor of the file system of `row`, by the directory of its hint. */
  #findMount(row: number, mount: number, dev: number): void {
    const parent = this.#hintDirectory(row, 0);
    if (parent < 0) return;
    if (this.#nodes.device[this.#nodes.parent[row] as number] !== dev) return;
    this.#mounts.remember(parent, mount, dev);
  }

  /** Whether a descriptor of `row` is at hand: the first handle is of no use if none is. */
  #isOpen(row: number): boolean {
    const handle = this.#nodes.handle[row] as number;
    return (
      (this.#nodes.fd[row] as number) >= 0 ||
      (handle >= 0 && (this.#handles.fd[handle] as number) >= 0)
    );
  }

  /** Writes the attributes of `row`, which was described last; `listens`: at a socket's file. */
  writeAttributes(w: Writer, row: number, listens = 0): void {
    const dev = device();
    const own = this.#ownDevice(row);
    const apart = dev === own ? 0 : (Math.imul(dev + 1, 0x9e3779b1) | 1) >>> 0;
    this.#nodes.toldTime[row] = ctimeLow();
    this.#nodes.toldTimeNs[row] = ctimeNs();
    this.#nodes.toldSize[row] = size() >>> 0;
    if (isSpecialType(mode())) this.#special.add(row);
    const policy = this.#policies.of(row);
    // Changes through another of its names come under a directory that may be unknown.
    const aliased = policy === Policy.WATCHED && (hasAliases() || this.#isFileMount(row));
    writeAttributes(w, apart, aliased ? Policy.ORDINARY : policy, listens);
  }

  /** Device of the root of the mount that `row` is in. */
  #ownDevice(row: number): number {
    const mount = this.#nodes.mount[row] as number;
    return mount === ROOT_MOUNT ? this.device : (this.#mountDevices.get(mount) ?? this.device);
  }

  /** Whether `row`, described last, is a file that is mounted: its directory is out of reach. */
  #isFileMount(row: number): boolean {
    const { mount, parent } = this.#nodes;
    return (
      mount[row] !== ROOT_MOUNT &&
      parent[row] === NONE &&
      (mode() & FileType.MASK) !== FileType.DIRECTORY
    );
  }

  /** How far a client may cache `row`. */
  policy(row: number): number {
    return this.#policies.of(row);
  }

  /** Closes what `row` has cached; it is opened again when it is needed. */
  letGo(row: number): void {
    this.#cached.letGo(row);
  }

  /** Closes what `row` has cached; before the row is dropped. */
  release(row: number): void {
    if (this.#special.size > 0) this.#special.delete(row);
    this.#cached.drop(row);
    const fd = this.#nodes.fd[row] as number;
    if (fd >= 0) close(fd);
    this.#nodes.fd[row] = NONE;
  }

  /** Closes everything; the session has ended. */
  close(): void {
    this.#cached.close();
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
      const dev = nodes.device[row] as number;
      const fd = this.#mounts.open(nodes.mountOf(row), dev, handleRegion.address, flags);
      if (fd >= 0) return fd;
    }
    const fd = nodes.isLed(row) ? this.#openLed(row) : this.#openNamed(row, depth);
    if (fd < 0) return fd === -E.EMFILE || fd === -E.ENFILE || fd === -E.ENOMEM ? fd : -E.ESTALE;
    if (statFd(fd) === 0 && nodes.matches(row, identify())) return fd;
    close(fd);
    return -E.ESTALE;
  }

  /** By the name of its hint. */
  #openNamed(row: number, depth: number): number {
    const parent = this.#hintDirectory(row, depth);
    if (parent < 0) return -E.ESTALE;
    const name = this.#nodes.nameAddress(row);
    return openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
  }

  /** By the magic link that is its hint. */
  #openLed(row: number): number {
    if (!this.#nodes.parentAlive(row)) return -E.ESTALE;
    const link = this.#nodes.parent[row] as number;
    const directory = this.directoryOf(link);
    return directory < 0 ? directory : openMagic(directory, this.#nodes.nameAddress(link));
  }

  #keepFileHandle(row: number, fd: number): void {
    const { bytes, view, address } = handleRegion;
    view.setUint32(HANDLE.bytes, MAX_HANDLE_SZ, true);
    if (nameToHandleAt(fd, EMPTY_PATH, address, AT_EMPTY_PATH) !== 0) return;
    const length = HANDLE.data + view.getUint32(HANDLE.bytes, true);
    this.#nodes.fileHandles.set(row, bytes.latin1Slice(0, length));
    if (statFd(fd) === 0 && (mode() & FileType.MASK) === FileType.DIRECTORY) {
      this.#mounts.remember(fd, this.#nodes.mountOf(row), this.#nodes.device[row] as number);
    }
  }
}
