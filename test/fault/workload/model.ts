/** What a worker's files must be, computed from what it did. */
import type { Change } from "./record.ts";

export interface Inode {
  type: "file" | "directory" | "symlink";
  mode: number;
  content: Buffer;
}

/** The largest file. */
export const FILE_MAX = 64 * 1024;

/** Properties of one path, as test/e2e/support/tree.ts compares them. */
export type Properties = Record<string, string>;

/** Where a worker's names are: a directory of its own, and names of its own in a common one. */
export function homeOf(worker: number): string {
  return `w${worker}`;
}
export const RING = "ring";
export function ringPrefix(worker: number): string {
  return `${RING}/w${worker}-`;
}

/** Whether a path belongs to a worker. */
export function isOwn(worker: number, path: string): boolean {
  const home = homeOf(worker);
  return path === home || path.startsWith(`${home}/`) || path.startsWith(ringPrefix(worker));
}

/** The bytes that an operation with `text` writes. */
export function dataOf(length: number, text: string): Buffer {
  return Buffer.alloc(length, text);
}

export class Model {
  readonly entries: Map<string, Inode>;

  private constructor(entries: Map<string, Inode>) {
    this.entries = entries;
  }

  /** A worker's files before it has done anything: an empty directory. */
  static of(worker: number): Model {
    const home: Inode = { type: "directory", mode: 0o755, content: Buffer.alloc(0) };
    return new Model(new Map([[homeOf(worker), home]]));
  }

  clone(): Model {
    const copies = new Map<Inode, Inode>();
    const copy = (inode: Inode) => {
      const known = copies.get(inode) ?? { ...inode, content: Buffer.from(inode.content) };
      copies.set(inode, known);
      return known;
    };
    return new Model(new Map([...this.entries].map(([path, inode]) => [path, copy(inode)])));
  }

  get(path: string): Inode {
    const inode = this.entries.get(path);
    if (inode === undefined) throw new Error(`The model has no ${path}`);
    return inode;
  }

  paths(type: Inode["type"]): string[] {
    return [...this.entries].filter(([, inode]) => inode.type === type).map(([path]) => path);
  }

  links(inode: Inode): number {
    let count = 0;
    for (const one of this.entries.values()) if (one === inode) count++;
    return count;
  }

  /** Names in a directory. */
  list(directory: string): string[] {
    const prefix = `${directory}/`;
    return [...this.entries.keys()]
      .filter((path) => path.startsWith(prefix) && !path.includes("/", prefix.length))
      .map((path) => path.slice(prefix.length));
  }

  /** Does to the model what the operation does to files. */
  apply(change: Change): void {
    const { entries } = this;
    const { path } = change;
    switch (change.op) {
      case "create":
        entries.set(path, { type: "file", mode: change.mode, content: Buffer.alloc(0) });
        break;
      case "mkdir":
        entries.set(path, { type: "directory", mode: 0o755, content: Buffer.alloc(0) });
        break;
      case "symlink":
        entries.set(path, { type: "symlink", mode: 0o777, content: Buffer.from(change.target) });
        break;
      case "write":
      case "map":
        this.#write(this.get(path), change.offset, dataOf(change.length, change.text));
        break;
      case "append": {
        const inode = this.get(path);
        this.#write(inode, inode.content.length, dataOf(change.length, change.text));
        break;
      }
      case "truncate": {
        const { content } = this.get(path);
        const grown = Buffer.alloc(change.size);
        content.copy(grown);
        this.get(path).content = grown;
        break;
      }
      case "chmod":
        this.get(path).mode = change.mode;
        break;
      case "link":
        entries.set(change.to, this.get(path));
        break;
      case "rename":
        this.#rename(path, change.to);
        break;
      case "unlink":
      case "rmdir":
        entries.delete(path);
    }
  }

  #write(inode: Inode, offset: number, data: Buffer): void {
    const end = offset + data.length;
    if (end > inode.content.length) {
      const grown = Buffer.alloc(end);
      inode.content.copy(grown);
      inode.content = grown;
    }
    data.copy(inode.content, offset);
  }

  /** rename(2) of two names of one inode does nothing. */
  #rename(from: string, to: string): void {
    const inode = this.get(from);
    if (this.entries.get(to) === inode) return;
    for (const [path, one] of [...this.entries]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.entries.delete(path);
      this.entries.set(to + path.slice(from.length), one);
    }
  }

  /** All paths with their properties, as `lookAt` (look.ts) describes a real tree. */
  describe(): Map<string, Properties> {
    const found = [...this.entries].map(([path, inode]) => {
      return { path, inode, identity: inode, links: this.links(inode) };
    });
    return describe(found);
  }
}

/** A path of a tree; `identity` is the same for all names of an inode. */
export interface Found {
  path: string;
  inode: Inode;
  identity: unknown;
  links: number;
}

/** Properties by path. Of directories' links nothing is said: file systems count them differently. */
export function describe(all: Found[]): Map<string, Properties> {
  const first = new Map<unknown, string>();
  const properties = new Map<string, Properties>();
  for (const one of all.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    if (!first.has(one.identity)) first.set(one.identity, one.path);
    properties.set(one.path, describeOne(one, first.get(one.identity) ?? ""));
  }
  return properties;
}

function describeOne({ inode, links }: Found, sameInodeAs: string): Properties {
  const { type, content } = inode;
  const mode = inode.mode.toString(8);
  if (type === "directory") return { type, mode };
  if (type === "symlink") return { type, target: content.toString(), links: `${links}` };
  const digest = new Bun.SHA1().update(content).digest("hex");
  return {
    type,
    mode,
    links: `${links}`,
    size: `${content.length}`,
    content: digest,
    sameInodeAs,
  };
}
