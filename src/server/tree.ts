/** What a session attached to: an export, and all the session holds of it. */
import { close } from "../sys/open.ts";
import { FileSystems } from "./filesystems.ts";
import { HandleTable } from "./handles.ts";
import { LockTable } from "./locks.ts";
import { NodeTable } from "./nodes.ts";
import { Policies, type PolicyRule } from "./policy.ts";
import { Reach } from "./reach.ts";
import { SessionRecord } from "./record/record.ts";
import { type Connected, Watched } from "./watched.ts";
import type { Watcher } from "./watcher.ts";

/** A directory being read: its descriptor, and the cookie the next entry follows. */
export interface Directory {
  fd: number;
  high: number;
  low: number;
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
  /** The HOST's path, for people. */
  readonly path: string;

  readonly watched: Watched;
  readonly #watcher: Watcher;

  /**
   * `rootFd`: an O_PATH descriptor of the root, owned from now on. A record that
   * another process left gives its tables, and nothing of them is open yet
   * (recovery.ts); throws when it is damaged or of another root.
   */
  constructor(
    rootFd: number,
    path: string,
    readOnly: boolean,
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
    this.fileSystems = new FileSystems(path, (met) => this.watched.fileSystemMet(met));
    const policies = new Policies(rules, path);
    const { nodes, handles, fileSystems } = this;
    this.reach = new Reach(nodes, handles, rootFd, watcher, policies, fileSystems);
    this.#watcher = watcher;
    watcher.add(this.watched);
    this.path = path;
    this.readOnly = readOnly;
  }

  /** Forgets `count` lookups of a row, and the node with the last of them. */
  forget(row: number, count: number): void {
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
    const idle = (this.nodes.handle[row] as number) < 0;
    if (idle && (this.nodes.lookups[row] as number) === 0) this.#drop(row);
  }

  /** The session has ended: closes all, and its record is no more. */
  close(): void {
    this.#watcher.remove(this.watched);
    for (const directory of this.directories.values()) close(directory.fd);
    this.directories.clear();
    this.locks.close();
    this.handles.close();
    this.reach.close();
    this.nodes.close();
    this.record.remove();
    this.record.close();
  }

  #drop(row: number): void {
    this.locks.dropNode(row);
    this.watched.forget(row);
    this.reach.release(row);
    this.nodes.drop(row);
  }
}
