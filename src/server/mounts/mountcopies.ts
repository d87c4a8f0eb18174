/**
 * A session's private copies of the HOST's mounts (open_tree(2)), which its nodes are
 * reached by. Nothing shows in one that is mounted in it, and none keeps its original
 * from being unmounted; a descriptor of the original does, and is held while a file of
 * the mount is open. But not from the first moment: that a file was closed is heard of
 * late, and whoever unmounts after a short look at one must not find the mount busy.
 */
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { FileType, ROOT_MOUNT } from "../../wire/constants.ts";
import { MOUNTS_MAX } from "../../wire/limits.ts";
import { relativeTo } from "../filesystems.ts";
import { identify, mode, statFd } from "../status.ts";
import type { Tree } from "../tree.ts";
import { setAttributes } from "./mountattributes.ts";
import type { HostMount } from "./mountlines.ts";
import { copyMount, openRootOf } from "./mountplaces.ts";
import type { MountTable } from "./mounttable.ts";

const NONE = -1;
/** How long files of a mount must have been open for it to be busy. */
const HOLD_AFTER_NS = 100e6;

interface Copy {
  /** The node of its root, whose descriptor is the copy. */
  readonly row: number;
  readonly origin: string;
  /** MountFlag of the wire that the copy has. */
  flags: number;
  /** Descriptor of the mount itself while a file of it is open; -1. */
  hold: number;
}

export class MountCopies {
  readonly #tree: Tree;
  readonly #table: MountTable;
  /** By the mount's number. */
  readonly #copies = new Map<number, Copy>();
  /** Files open in each mount, and since when there are any. */
  readonly #open = new Map<number, { count: number; sinceNs: number }>();

  constructor(tree: Tree, table: MountTable) {
    this.#tree = tree;
    this.#table = table;
  }

  has(mount: number): boolean {
    return this.#copies.has(mount);
  }

  /** Row of the root of `mount`, or -1. */
  rootOf(mount: number): number {
    return this.#copies.get(mount)?.row ?? NONE;
  }

  /** Copies `mount`; the row of its root, described last, or -errno. */
  add(mount: HostMount): number {
    // Those that were covered meanwhile are kept, too.
    if (this.#copies.size >= MOUNTS_MAX) return -E.ENFILE;
    const fd = copyMount(mount);
    return fd < 0 ? fd : this.#begin(mount, fd);
  }

  /** The same for one that another process had a copy of, if it has nodes of it. */
  restore(mount: HostMount): boolean {
    const { nodes } = this.#tree;
    const fd = copyMount(mount);
    if (fd < 0) return false;
    const row = statFd(fd) === 0 ? nodes.find(identify(), mount.number) : NONE;
    if (row >= 0 && nodes.parent[row] === NONE) return this.#begin(mount, fd) >= 0;
    close(fd);
    return false;
  }

  /** Takes away the copies of mounts that are gone, and gives the others the flags of theirs. */
  follow(): void {
    for (const [number, copy] of this.#copies) {
      const mount = this.#table.byNumber.get(number);
      if (mount === undefined || mount.origin !== copy.origin) {
        this.drop(number);
      } else if (mount.flags !== copy.flags) {
        // Where files are written it is tried again with the next change.
        const fd = this.#tree.nodes.fd[copy.row] as number;
        if (setAttributes(fd, mount.flags) === 0) copy.flags = mount.flags;
      }
    }
  }

  /** Forgets the nodes of a mount, which live on where files are open. */
  drop(mount: number): void {
    this.#letGo(mount);
    this.#copies.delete(mount);
    this.#tree.dropMount(mount);
  }

  /** A file of `mount` was opened: it is busy on the HOST. */
  opened(mount: number): void {
    if (mount === ROOT_MOUNT) return;
    const open = this.#open.get(mount);
    if (open !== undefined) {
      open.count++;
      return;
    }
    const sinceNs = Bun.nanoseconds();
    this.#open.set(mount, { count: 1, sinceNs });
    this.#table.wakeAt(sinceNs + HOLD_AFTER_NS);
  }

  /** One was closed. */
  closed(mount: number): void {
    if (mount === ROOT_MOUNT) return;
    const open = this.#open.get(mount);
    if (open !== undefined && --open.count > 0) return;
    this.#open.delete(mount);
    this.#letGo(mount);
  }

  /** Holds the mounts in which files have been open for long enough at `nowNs`. */
  hold(nowNs: number): void {
    for (const [mount, { sinceNs }] of this.#open) {
      const dueNs = sinceNs + HOLD_AFTER_NS;
      if (dueNs <= nowNs) this.#hold(mount);
      else this.#table.wakeAt(dueNs);
    }
  }

  /** The session has ended. */
  close(): void {
    for (const [mount, { row }] of this.#copies) {
      this.#letGo(mount);
      this.#tree.reach.release(row);
    }
    this.#copies.clear();
  }

  /** Begins with the copy `fd`, owned from now on. */
  #begin(mount: HostMount, fd: number): number {
    const { nodes, reach, watched } = this.#tree;
    const { number, origin, flags } = mount;
    const described = statFd(fd);
    if (described === 0) {
      const path = relativeTo(Buffer.from(this.#tree.path).toString("latin1"), mount.path);
      reach.beginMount(number, fd, identify().device, path);
    }
    // The lookup is ours: it goes with the mount.
    const row = described < 0 ? NONE : nodes.intern(identify(), NONE, "", number);
    if (row < 0) {
      close(fd);
      return described < 0 ? described : -E.ENOMEM;
    }
    const isDirectory = (mode() & FileType.MASK) === FileType.DIRECTORY;
    reach.addMount(number, row, fd, isDirectory);
    if (isDirectory) watched.register(row, fd);
    this.#copies.set(number, { row, origin, flags, hold: NONE });
    // It is watched by now, and not known to have changed since.
    statFd(fd);
    return row;
  }

  #hold(number: number): void {
    const copy = this.#copies.get(number);
    const mount = this.#table.byNumber.get(number);
    if (copy === undefined || mount === undefined || copy.hold >= 0) return;
    copy.hold = openRootOf(mount);
  }

  #letGo(number: number): void {
    const copy = this.#copies.get(number);
    if (copy === undefined || copy.hold < 0) return;
    close(copy.hold);
    copy.hold = NONE;
  }
}
