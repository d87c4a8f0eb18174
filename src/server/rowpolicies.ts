/** How far a client may cache each inode of its tree: by its file system, or by a rule for its path. */
import { Policy, ROOT_NODE } from "../wire/constants.ts";
import type { FileSystems } from "./filesystems.ts";
import type { Treatment } from "./fstypes.ts";
import type { NodeTable } from "./nodes.ts";
import { type Policies, typeOf } from "./policy.ts";
import { keepingStatus } from "./status.ts";
import type { Watcher } from "./watcher.ts";

/** Longest path that is looked for rules, in names. */
const DEPTH_MAX = 128;
const NONE = -1;

export class RowPolicies {
  readonly #nodes: NodeTable;
  readonly #fd: (row: number) => number;
  readonly #watcher: Watcher;
  readonly #policies: Policies;
  readonly #fileSystems: FileSystems;
  /** Where mounts that are trees of their own are, relative to the root. */
  readonly #mountPaths = new Map<number, string>();

  /** `fd` gives a descriptor of a row, or -errno. */
  constructor(
    nodes: NodeTable,
    fd: (row: number) => number,
    watcher: Watcher,
    policies: Policies,
    fileSystems: FileSystems,
  ) {
    this.#nodes = nodes;
    this.#fd = fd;
    this.#watcher = watcher;
    this.#policies = policies;
    this.#fileSystems = fileSystems;
  }

  /** Has rules for paths seen to when rows are made. */
  ruleNewRows(): void {
    if (this.#policies.hasPaths) this.#nodes.ruleOf = (row) => this.#ruled(row);
  }

  /** The same for rows that another process has made. */
  ruleOldRows(): void {
    if (!this.#policies.hasPaths) return;
    for (const row of this.#nodes.alive()) this.#nodes.ruled[row] = this.#ruled(row);
  }

  /** Chooses for the file system at `path` below the root, of which `fd` is open. */
  meetDevice(fd: number, device: number, path: string): void {
    this.#nodes.policies.set(device, this.#choose(fd, path));
  }

  /** A mount at `path` below the root begins, of which `fd` is the root. */
  beginMount(mount: number, fd: number, device: number, path: string): void {
    this.#mountPaths.set(mount, path);
    this.meetDevice(fd, device, path);
  }

  dropMount(mount: number): void {
    const path = this.#mountPaths.get(mount);
    if (path !== undefined) this.#fileSystems.leave(path);
    this.#mountPaths.delete(mount);
  }

  /** How far a client may cache `row`. */
  of(row: number): number {
    const ruled = this.#nodes.ruled[row] as number;
    if (ruled >= 0) return ruled;
    const dev = this.#nodes.device[row] as number;
    const known = this.#nodes.policies.get(dev);
    if (known !== undefined) return known;
    // Whoever asks is about to write attributes from the status buffer.
    const fd = keepingStatus(() => this.#fd(row));
    if (fd < 0) return Policy.LIVE;
    const policy = this.#choose(fd);
    this.#nodes.policies.set(dev, policy);
    // This inode was described before its file system was watched.
    return policy === Policy.WATCHED ? Policy.ORDINARY : policy;
  }

  /** Policy of `row` by the nearest rule for a directory above it, or -1. */
  #ruled(row: number): number {
    const path = this.#pathOf(row);
    const treatment = path === undefined ? undefined : this.#policies.ofPath(path);
    if (path === undefined || treatment === undefined) return NONE;
    // Whoever makes the row is about to write attributes from the status buffer.
    const fd = keepingStatus(() => this.#fd(row));
    if (fd < 0) return Policy.LIVE;
    const policy = this.#apply(treatment, fd);
    if (this.#policies.isRuled(path)) this.#fileSystems.meetAt(path, typeOf(fd), policy);
    return policy;
  }

  /** Where `row` was last seen, relative to the root; undefined where that is not known. */
  #pathOf(row: number): string | undefined {
    const names: string[] = [];
    for (let at = row; at !== ROOT_NODE; at = this.#nodes.parent[at] as number) {
      if (names.length >= DEPTH_MAX) return undefined;
      if (!this.#nodes.parentAlive(at)) {
        const path = this.#rootPathOf(at);
        if (path === undefined) return undefined;
        names.push(path);
        break;
      }
      names.push(this.#nodes.nameOf(at));
    }
    return names.reverse().join("/");
  }

  /** Where the mount is of which `row` is the root; undefined if it is none. */
  #rootPathOf(row: number): string | undefined {
    return (this.#nodes.parent[row] as number) < 0
      ? this.#mountPaths.get(this.#nodes.mountOf(row))
      : undefined;
  }

  /**
   * Policy of the file system `fd` is in, which is watched from now on if it can be;
   * `path`: where it is, if that is known.
   */
  #choose(fd: number, path?: string): number {
    const type = typeOf(fd);
    const policy = this.#apply(this.#policies.ofType(type), fd);
    if (path === undefined) this.#fileSystems.meet(fd, type, policy);
    else this.#fileSystems.meetAt(path, type, policy);
    return policy;
  }

  /** What a treatment comes to for the file system `fd` is in: not every one can be watched. */
  #apply(treatment: Treatment, fd: number): number {
    if (treatment === "live") return Policy.LIVE;
    return treatment === "watched" && this.#watcher.watch(fd) ? Policy.WATCHED : Policy.ORDINARY;
  }
}
