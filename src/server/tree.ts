/** What a session attached to: an export, and all the session holds of it. */
import { close } from "../sys/open.ts";
import { ROOT_MOUNT } from "../wire/constants.ts";
import type { OperationClass } from "./classes.ts";
import type { Root } from "./exports.ts";
import { FileSystems } from "./filesystems.ts";
import { HandleTable } from "./handles.ts";
import { LockTable } from "./locks.ts";
import type { HostMounts } from "./mounts/hostmounts.ts";
import { NodeTable } from "./nodes.ts";
import { Policies, type PolicyRule } from "./policy.ts";
import { Reach } from "./reach.ts";
import { SessionRecord } from "./record/record.ts";
import { type Connected, Watched } from "./watched.ts";
import type { Watcher } from "./watcher.ts";
import { Hearing } from "./watches/hearing.ts";

/** A directory being read: its descriptor, and the cookie the next entry follows. */
export interface Directory {
  readonly mount: number;
  fd: number;
  high: number;
  low: number;
}

/** Data that is gone from where it was read. */
export interface Taken {
  sequence: number;
  data: Uint8Array;
}

export class Tree {
  /** Where the tables are. */
  readonly record: SessionRecord;
  readonly nodes: NodeTable;
  readonly handles: HandleTable;
  readonly locks: LockTable;
  readonly directories = new Map<number, Directory>();
  readonly reach: Reach;
  readonly fileSystems: FileSystems;
  /** Poll events found for a handle's waiters that they have not asked for yet (polls.ts). */
  readonly found = new Map<number, number>();
  readonly readOnly: boolean;
  /** What the export allows beside using files. */
  allow: readonly OperationClass[] = [];
  /** Whether magic links are followed. */
  readonly follows: boolean;
  /** The HOST's path, for people. */
  readonly path: string;

  /** What is mounted beneath the root, where that is a tree of its own; undefined: it is all one. */
  mounts: HostMounts | undefined;

  /** What the last READ of each slot has taken from a stream, for its repetition. */
  readonly taken = new Map<number, Taken>();
  readonly watched: Watched;
  readonly hearing: Hearing;
  readonly #watcher: Watcher;

  /**
   * `root.fd` is owned from now on. A record that
   * another process left gives its tables, and nothing of them is open yet
   * (recovery.ts); throws when it is damaged or of another root.
   */
  constructor(
    root: Root,
    watcher: Watcher,
    session: Connected,
    record = SessionRecord.anonymous(),
    rules: readonly PolicyRule[] = [],
  ) {
    this.record = record;
    this.nodes = new NodeTable(record);
    this.handles = new HandleTable(this.nodes);
    this.locks = new LockTable(record);
    this.watched = new Watched(this, session);
    this.fileSystems = new FileSystems(root.path, (met) => this.watched.fileSystemMet(met));
    const policies = new Policies(rules, root.path);
    const { nodes, handles, fileSystems } = this;
    this.reach = new Reach(nodes, handles, root.fd, watcher, policies, fileSystems);
    this.hearing = new Hearing(this, watcher.happenings);
    this.#watcher = watcher;
    watcher.add(this.watched);
    this.path = root.path;
    this.readOnly = root.readOnly;
    this.follows = root.follows;
  }

  /** Forgets `count` lookups of a row, and the node with the last of them. */
  forget(row: number, count: number): void {
    if (this.nodes.mount[row] !== ROOT_MOUNT && this.mounts?.isRoot(row)) return;
    if (!this.nodes.forget(row, count)) return;
    // A file still open keeps its node until the handle is released.
    if ((this.nodes.handle[row] as number) >= 0) return;
    this.#drop(row);
  }

  /** Closes a handle; a node already forgotten goes with its last one. */
  release(handle: number): void {
    const row = this.handles.node[handle] as number;
    this.locks.dropHandle(handle);
    this.handles.release(handle);
    const mount = this.nodes.mountOf(row);
    this.mounts?.closed(mount);
    if ((this.nodes.handle[row] as number) >= 0 || this.mounts?.isRoot(row)) return;
    const isGone = this.mounts?.has(mount) === false;
    if (isGone || (this.nodes.lookups[row] as number) === 0) this.#drop(row);
  }

  /** Closes all handles of files in `mount`. */
  releaseAll(mount: number): void {
    const { handles, nodes } = this;
    const own = [...handles.all()].filter(
      (handle) => nodes.shownIn(handles.node[handle] as number) === mount,
    );
    for (const handle of own) this.release(handle);
  }

  /**
   * Closes everything in `mount`, and forgets its nodes but for those with open files,
   * which go with these.
   */
  dropMount(mount: number): void {
    const { nodes, reach } = this;
    // All before any goes: where a link leads is seen by the link.
    const rows: number[] = [];
    for (let row = 1; row < nodes.rows; row++) if (nodes.shownIn(row) === mount) rows.push(row);
    for (const row of rows) {
      if ((nodes.handle[row] as number) < 0) {
        this.#drop(row);
        continue;
      }
      reach.release(row);
      this.watched.forget(row);
    }
    for (const [id, directory] of this.directories) {
      if (directory.mount !== mount) continue;
      close(directory.fd);
      this.directories.delete(id);
    }
    reach.dropMount(mount);
  }

  /** The session has ended: closes all, and its record is no more. */
  close(): void {
    this.#watcher.remove(this.watched);
    this.hearing.close();
    for (const directory of this.directories.values()) close(directory.fd);
    this.directories.clear();
    this.locks.close();
    this.handles.close();
    this.mounts?.close();
    this.reach.close();
    this.nodes.close();
    this.record.remove();
    this.record.close();
  }

  #drop(row: number): void {
    if (this.nodes.isLed(row)) this.reach.dropMount(this.nodes.mountOf(row));
    this.locks.dropNode(row);
    this.watched.forget(row);
    this.hearing.unwatch(row);
    this.reach.release(row);
    this.nodes.drop(row);
  }
}
