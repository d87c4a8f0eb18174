/**
 * The HOST's mounts beneath a session's root, each a tree of its own (wire/README.md:
 * Mounts). The session works on private copies of them (open_tree(2)): nothing shows in
 * one that is mounted in it, and none keeps its original from being unmounted. When that
 * is, everything of ours on the copy is closed, or its file system would stay.
 */
import { E } from "../sys/errno.ts";
import { close } from "../sys/open.ts";
import { FileType, ROOT_MOUNT, ROOT_NODE } from "../wire/constants.ts";
import { MOUNTS_MAX } from "../wire/limits.ts";
import { Event } from "../wire/ops.ts";
import { type Export, openRoot } from "./exports.ts";
import { type HostMount, isUnbindable, visibleBelow } from "./mountlines.ts";
import {
  copyMount,
  describeRoot,
  mountNumberOf,
  openRootOf,
  setAttributes,
} from "./mountplaces.ts";
import type { MountTable } from "./mounttable.ts";
import { identify, mode, statFd } from "./status.ts";
import type { Tree } from "./tree.ts";
import type { Connected } from "./watched.ts";

/** What our own clients mount, on this machine perhaps: looking at it would wait for ourselves. */
const OUR_TYPE = "fuse.qtfs";
const NONE = -1;
/** Generations of one server process. */
const GENERATIONS = 2 ** 32;

/** A mount that the client has asked for. */
interface Copy {
  /** The node of its root, whose descriptor is the copy. */
  readonly row: number;
  readonly origin: string;
  /** MountFlag of the wire that the copy has. */
  flags: number;
  /** Descriptor of the mount itself while a file of it is open; -1. */
  hold: number;
}

export class HostMounts {
  /** What can be seen now, parents before children. */
  visible: readonly HostMount[] = [];
  #isVisible: ReadonlySet<HostMount> = new Set();
  readonly #tree: Tree;
  readonly #table: MountTable;
  readonly #exports: readonly Export[];
  readonly #session: Connected;
  /** By the mount's number. */
  readonly #copies = new Map<number, Copy>();
  /** Files open in each mount. */
  readonly #open = new Map<number, number>();
  /** Number of the mount that the session's root is in; 0 while it is in none. */
  #base = 0;
  #baseFlags = 0;
  #version = NONE;
  #changes = 0;
  /** Whether the client has not been told of the last change. */
  #isDue = false;
  readonly #tell: (text: string) => void;
  #hasTold = false;

  /**
   * `base`: a descriptor of the session's root on the HOST, only looked at. The table has
   * begun. `tell` is told once when there are more mounts than a client may know.
   */
  constructor(
    tree: Tree,
    base: number,
    table: MountTable,
    exports: readonly Export[],
    session: Connected,
    tell: (text: string) => void,
  ) {
    this.#tree = tree;
    this.#table = table;
    this.#exports = exports;
    this.#session = session;
    this.#tell = tell;
    this.#base = this.#numberOf(base);
    this.#baseFlags = table.byNumber.get(this.#base)?.flags ?? 0;
    this.#version = table.version;
    this.#show(this.#see());
  }

  /** Grows with each change of what is visible, in later processes too. */
  get generation(): number {
    return this.#tree.record.lives * GENERATIONS + this.#changes;
  }

  /** Sees what has changed since the last look, closes what is gone, and tells the client. */
  look(): void {
    const table = this.#table;
    if (this.#version === table.version) return;
    this.#version = table.version;
    for (const [number, copy] of this.#copies) {
      const mount = table.byNumber.get(number);
      if (mount === undefined || mount.origin !== copy.origin) this.#drop(number, true);
      else copy.flags = this.#adjust(copy.row, copy.flags, mount.flags);
    }
    const { visible: before } = this;
    const now = this.#see();
    if (before.length === now.length && before.every((mount, i) => mount === now[i])) return;
    this.#show(now);
    this.#changes++;
    this.#isDue = true;
    this.flush();
  }

  /** Looks at the HOST's mounts as they are at this moment. */
  refresh(): void {
    this.#table.refresh();
    this.look();
  }

  /** A mount that is visible and was not asked for yet. */
  unknown(number: number): HostMount | undefined {
    this.refresh();
    if (this.#copies.has(number)) return undefined;
    return this.visible.find((one) => one.number === number);
  }

  /** The root of a visible mount, described last, with its own row; or -errno, -ENOENT where there is none. */
  root(number: number): number {
    this.refresh();
    const known = this.#copies.get(number);
    if (known !== undefined) {
      const result = statFd(this.#tree.nodes.fd[known.row] as number);
      return result < 0 ? result : known.row;
    }
    const mount = this.visible.find((one) => one.number === number);
    if (mount === undefined) return -E.ENOENT;
    // Those that were covered meanwhile are copied, too.
    if (this.#copies.size >= MOUNTS_MAX) return -E.ENFILE;
    return this.#copy(mount, copyMount(mount));
  }

  /** Number of the mount that a visible one is on, for the client; ROOT_MOUNT for that of the root. */
  parentOf(mount: HostMount): number {
    const { byId } = this.#table;
    let parent = byId.get(mount.parentId);
    // One that is covered is not told of.
    while (parent !== undefined && !this.#isVisible.has(parent)) {
      parent = parent.number === this.#base ? undefined : byId.get(parent.parentId);
    }
    return parent?.number ?? ROOT_MOUNT;
  }

  /** The client has no use for a mount any more. */
  end(number: number): void {
    if (this.#copies.has(number)) this.#drop(number, false);
  }

  /** Whether `row` is the root of a mount: it goes with that alone. */
  isRoot(row: number): boolean {
    return this.#copies.get(this.#tree.nodes.mount[row] as number)?.row === row;
  }

  /** Whether the nodes of `mount` can be reached. */
  has(mount: number): boolean {
    return mount === ROOT_MOUNT || this.#copies.has(mount);
  }

  /** A file of `mount` was opened: it is busy on the HOST. */
  opened(mount: number): void {
    if (mount === ROOT_MOUNT) return;
    const count = (this.#open.get(mount) ?? 0) + 1;
    this.#open.set(mount, count);
    if (count === 1) this.#hold(mount);
  }

  /** One was closed. */
  closed(mount: number): void {
    if (mount === ROOT_MOUNT) return;
    const count = (this.#open.get(mount) ?? 0) - 1;
    if (count > 0) {
      this.#open.set(mount, count);
      return;
    }
    this.#open.delete(mount);
    this.#letGo(mount);
  }

  /** There is a connection again; `lost`: events that were sent have not arrived. */
  resumed(lost: boolean): void {
    if (lost) this.#isDue = true;
    this.flush();
  }

  /** Tells the client that there is a change, if it can be told and was not. */
  flush(): void {
    if (!this.#isDue) return;
    const { transport } = this.#session;
    if (transport.closed || transport.congested) return;
    this.#isDue = false;
    const w = this.#session.beginEvent();
    w.array(2);
    w.uint(Event.MOUNTS);
    w.uint(this.generation);
    transport.end();
  }

  /**
   * Reaches the mounts again that another process has left nodes of, and forgets the
   * nodes of those that are gone.
   */
  restore(): void {
    const { nodes } = this.#tree;
    const left = new Set<number>();
    for (let row = 1; row < nodes.rows; row++) left.add(nodes.mount[row] as number);
    left.delete(ROOT_MOUNT);
    for (const number of left) {
      const mount = this.visible.find((one) => one.number === number);
      const fd = mount === undefined ? NONE : copyMount(mount);
      if (mount === undefined || fd < 0 || !this.#wasRoot(fd, number)) {
        if (fd >= 0) close(fd);
        this.#drop(number, true);
      } else {
        this.#copy(mount, fd);
      }
    }
    // Nobody has watched for the client meanwhile.
    this.#isDue = true;
  }

  /** The session has ended. */
  close(): void {
    for (const [number, { row }] of this.#copies) {
      this.#letGo(number);
      this.#tree.reach.release(row);
    }
    this.#copies.clear();
    this.#table.end();
  }

  #wasRoot(fd: number, number: number): boolean {
    if (statFd(fd) !== 0) return false;
    const row = this.#tree.nodes.find(identify(), number);
    return row >= 0 && this.#tree.nodes.parent[row] === NONE;
  }

  #show(mounts: readonly HostMount[]): void {
    this.visible = mounts;
    this.#isVisible = new Set(mounts);
  }

  #see(): HostMount[] {
    const table = this.#table;
    if (!table.byNumber.has(this.#base)) this.#base = this.#findBase();
    const base = table.byNumber.get(this.#base);
    if (base === undefined) return [];
    this.#baseFlags = this.#adjust(ROOT_NODE, this.#baseFlags, base.flags);
    const admits = (mount: HostMount) =>
      mount.type !== OUR_TYPE &&
      table.isSettled(mount) &&
      !isUnbindable(mount) &&
      (mount.rootType !== 0 || describeRoot(mount));
    const path = Buffer.from(this.#tree.path).toString("latin1");
    const seen = visibleBelow(base, path, table.children, admits, MOUNTS_MAX + 1);
    if (seen.length > MOUNTS_MAX && !this.#hasTold) {
      this.#hasTold = true;
      this.#tell(
        `More than ${MOUNTS_MAX} mounts beneath ${this.#tree.path}: the rest is not shown`,
      );
    }
    return seen.slice(0, MOUNTS_MAX);
  }

  /** The root may have been mounted anew: then its path leads to the same directory again. */
  #findBase(): number {
    const root = openRoot(this.#exports, this.#tree.path);
    if (typeof root === "number") return 0;
    const same =
      root.path === this.#tree.path &&
      statFd(root.fd) === 0 &&
      this.#tree.nodes.matches(ROOT_NODE, identify());
    const number = same ? this.#numberOf(root.fd) : 0;
    close(root.fd);
    return number;
  }

  #numberOf(fd: number): number {
    return mountNumberOf(fd, (number) => this.#table.byNumber.has(number));
  }

  /** Gives the copy whose root is `row` the flags of its mount; those that it has then. */
  #adjust(row: number, flags: number, wanted: number): number {
    if (flags === wanted) return flags;
    const fd = this.#tree.nodes.fd[row] as number;
    return setAttributes(fd, wanted) === 0 ? wanted : flags;
  }

  /** Begins with a copy of `mount`, owned from now on; as `root`. */
  #copy(mount: HostMount, fd: number): number {
    if (fd < 0) return fd;
    const { nodes, reach, watched } = this.#tree;
    const { number, origin, flags } = mount;
    const described = statFd(fd);
    if (described === 0) reach.renewPolicy(fd, identify().device);
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
    if (this.#open.has(number)) this.#hold(number);
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

  /** `known`: the client may still have nodes of it, which live on where they are open. */
  #drop(number: number, known: boolean): void {
    this.#letGo(number);
    this.#copies.delete(number);
    this.#tree.dropMount(number, known);
  }
}
