/**
 * What is mounted on the HOST beneath a session's root, for a client that shows each mount
 * as one (wire/README.md: Mounts): which can be seen now, and telling it of changes.
 */
import { E } from "../../sys/errno.ts";
import { close } from "../../sys/open.ts";
import { ROOT_MOUNT, ROOT_NODE } from "../../wire/constants.ts";
import { MOUNTS_MAX } from "../../wire/limits.ts";
import { Event } from "../../wire/ops.ts";
import { type Export, openRoot } from "../exports.ts";
import { isLedMount } from "../nodes.ts";
import { identify, statFd } from "../status.ts";
import type { Tree } from "../tree.ts";
import type { Connected } from "../watched.ts";
import { setAttributes } from "./mountattributes.ts";
import { MountCopies } from "./mountcopies.ts";
import { type HostMount, isUnbindable, visibleBelow } from "./mountlines.ts";
import { describeRoot, mountNumberOf } from "./mountplaces.ts";
import type { MountTable } from "./mounttable.ts";

/** What our own clients mount, on this machine perhaps: looking at it would wait for ourselves. */
const OUR_TYPE = "fuse.qtfs";
const NONE = -1;
/** Generations of one server process. */
const GENERATIONS = 2 ** 32;

export class HostMounts {
  /** What can be seen now, parents before children. */
  visible: readonly HostMount[] = [];
  #isVisible: ReadonlySet<HostMount> = new Set();
  readonly #tree: Tree;
  readonly #table: MountTable;
  readonly #exports: readonly Export[];
  readonly #session: Connected;
  readonly #copies: MountCopies;
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
    this.#copies = new MountCopies(tree, table);
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
    this.#copies.follow();
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
    const row = this.#copies.rootOf(number);
    if (row >= 0) {
      const result = statFd(this.#tree.nodes.fd[row] as number);
      return result < 0 ? result : row;
    }
    const mount = this.visible.find((one) => one.number === number);
    return mount === undefined ? -E.ENOENT : this.#copies.add(mount);
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

  /** The client has no superblock of a mount any more, and so no file of it open: it may not have said so. */
  end(number: number): void {
    if (number === ROOT_MOUNT) return;
    this.#tree.releaseAll(number);
    if (this.#copies.has(number)) this.#copies.drop(number);
  }

  /** Whether `row` is the root of a mount: it goes with that alone. */
  isRoot(row: number): boolean {
    return this.#copies.rootOf(this.#tree.nodes.mountOf(row)) === row;
  }

  /** Whether the nodes of `mount` can be reached. */
  has(mount: number): boolean {
    return mount === ROOT_MOUNT || isLedMount(mount) || this.#copies.has(mount);
  }

  /** A file of `mount` was opened, or one was closed. */
  opened(mount: number): void {
    this.#copies.opened(mount);
  }

  closed(mount: number): void {
    this.#copies.closed(mount);
  }

  /** Makes busy on the HOST what has been in use for a while at `nowNs`. */
  hold(nowNs: number): void {
    this.#copies.hold(nowNs);
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
    for (const number of [...left].filter((one) => !isLedMount(one))) {
      const mount = this.visible.find((one) => one.number === number);
      if (mount === undefined || !this.#copies.restore(mount)) this.#copies.drop(number);
    }
    // Nobody has watched for the client meanwhile.
    this.#isDue = true;
  }

  /** The session has ended. */
  close(): void {
    this.#copies.close();
    this.#table.end();
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
    if (base.flags !== this.#baseFlags && setAttributes(this.#rootFd, base.flags) === 0) {
      this.#baseFlags = base.flags;
    }
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

  get #rootFd(): number {
    return this.#tree.nodes.fd[ROOT_NODE] as number;
  }
}
