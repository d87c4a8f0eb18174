/** A session's side of happenings: what its client is told of what its programs watch. */
import { PathBuffer } from "../../sys/cstring.ts";
import { FileType, Happening, ROOT_NODE } from "../../wire/constants.ts";
import { Event } from "../../wire/ops.ts";
import type { Touched } from "../session.ts";
import { identify, links, mode, statFd, statName } from "../status.ts";
import type { Tree } from "../tree.ts";
import type { Happenings, Hearer } from "./happenings.ts";

const { CREATE, DELETE, MODIFY, CLOSE_WRITE, ATTRIB, MOVE, DELETE_SELF, MOVE_SELF, DIRECTORY } =
  Happening;
/** What is told of a watched directory's entry stands for the entry's own. */
const OF_BOTH = MODIFY | CLOSE_WRITE | ATTRIB | DELETE_SELF | MOVE_SELF;
const ITEMS = 7;
const NONE = -1;

/** Halves of the number of a node; 0 for none. */
type Node = readonly [high: number, low: number];

const names = new PathBuffer(1);

export class Hearing implements Hearer {
  readonly #tree: Tree;
  readonly #happenings: Happenings;
  /** Watched rows by the name they had when they were asked for. */
  readonly #byName = new Map<string, number>();
  readonly #names = new Map<number, string>();
  /** Those that are directories: inotify does not say so of what happens to themselves. */
  readonly #directories = new Set<number>();
  /** Events told to the client. */
  told = 0;

  constructor(tree: Tree, happenings: Happenings) {
    this.#tree = tree;
    this.#happenings = happenings;
  }

  /** The client wants to hear of `row`: 0 or an errno. */
  watch(row: number): number {
    // What is watched besides decides how it is told.
    this.#happenings.deliver();
    const fd = this.#tree.reach.fd(row);
    if (fd < 0) return -fd;
    const errno = this.#happenings.watch(this, row, fd);
    if (statFd(fd) === 0 && (mode() & FileType.MASK) === FileType.DIRECTORY) {
      this.#directories.add(row);
    }
    const { nodes } = this.#tree;
    if (errno !== 0 || row === ROOT_NODE || !nodes.parentAlive(row)) return errno;
    const name = key(nodes.parent[row] as number, nodes.nameOf(row));
    this.#byName.set(name, row);
    this.#names.set(row, name);
    return 0;
  }

  /** It does not, or has forgotten it. */
  unwatch(row: number): void {
    this.#happenings.unwatch(this, row);
    this.#directories.delete(row);
    const name = this.#names.get(row);
    if (name === undefined) return;
    this.#names.delete(row);
    if (this.#byName.get(name) === row) this.#byName.delete(name);
  }

  close(): void {
    this.#happenings.remove(this);
  }

  /**
   * A name is gone or means another inode. A watched one must not live on because
   * of our descriptor of it: that it ends is what the client wants to hear.
   */
  nameChanged(directory: number, name: string): void {
    const row = this.#byName.get(key(directory, name));
    if (row !== undefined) this.#tree.reach.letGo(row);
  }

  happened(what: number, row: number, name: string, toRow: number, toName: string): void {
    const { watched } = this.#tree;
    const isEntry = name !== "" || toRow >= 0;
    const kinds = isEntry ? what : this.#ofSelf(what, row);
    if (!isEntry && (kinds & OF_BOTH) !== 0 && this.#hearsByName(row)) return;
    if ((kinds & (DELETE | MOVE)) !== 0 && row >= 0) this.nameChanged(row, name);
    const about = isEntry ? this.#entry(kinds, row, name, toRow, toName) : row;
    if ((kinds & MODIFY) !== 0 && about >= 0 && this.#tree.handles.isHeld(about)) return;
    this.told++;
    // It may wait, and the rows be others' then.
    const nodes = [row, toRow, about].map((one) => this.#node(one)) as [Node, Node, Node];
    watched.tell((w) => {
      w.array(ITEMS);
      w.uint(Event.HAPPENED);
      w.uint(kinds);
      w.uint64(...nodes[0]);
      w.latin1(name);
      w.uint64(...nodes[1]);
      w.latin1(toName);
      w.uint64(...nodes[2]);
    });
  }

  /** What happened to the inode of `row` itself, as the client is told it. */
  #ofSelf(kinds: number, row: number): number {
    if (this.#directories.has(row)) return kinds | DIRECTORY;
    if ((kinds & ATTRIB) === 0) return kinds;
    // A file that lost its last name ends when nobody has it open any more: not even we.
    const { reach } = this.#tree;
    const isGone = reach.stat(row) !== 0 || links() === 0;
    reach.letGo(row);
    return isGone ? DELETE_SELF : kinds;
  }

  isAbout(touched: Readonly<Touched>, row: number, name: string): boolean {
    const { row: one, otherRow: other } = touched;
    if (row === one || row === other) {
      return name === "" || name === touched.name || name === touched.otherName;
    }
    // A name that went, and took the inode along.
    if (name === "") return this.#isNamed(row, one, touched) || this.#isNamed(row, other, touched);
    const about = this.#lookUp(row, name);
    return about >= 0 && (about === one || about === other);
  }

  /** Whether `row` was watched under a name in `directory` that was touched. */
  #isNamed(row: number, directory: number, { name, otherName }: Readonly<Touched>): boolean {
    const known = this.#names.get(row);
    return known === key(directory, name) || known === key(directory, otherName);
  }

  /** Whether the parent of `row` is watched too, and tells what happens to it. */
  #hearsByName(row: number): boolean {
    const { nodes } = this.#tree;
    if (row === ROOT_NODE || !nodes.parentAlive(row)) return false;
    return this.#happenings.hears(this, nodes.parent[row] as number);
  }

  /** Row of the entry that something has happened to, or -1 where the client knows none. */
  #entry(kinds: number, row: number, name: string, toRow: number, toName: string): number {
    if ((kinds & CREATE) !== 0) return NONE;
    if ((kinds & DELETE) !== 0 || ((kinds & MOVE) !== 0 && toRow < 0)) {
      return this.#byName.get(key(row, name)) ?? NONE;
    }
    return (kinds & MOVE) !== 0 ? this.#lookUp(toRow, toName) : this.#lookUp(row, name);
  }

  /** Row of an entry of a directory, or -1. */
  #lookUp(directory: number, entry: string): number {
    const dirfd = this.#tree.reach.fd(directory);
    if (dirfd < 0 || statName(dirfd, names.putLatin1(0, entry)) !== 0) return NONE;
    return this.#tree.nodes.find(identify());
  }

  #node(row: number): Node {
    return row < 0 ? [0, 0] : [this.#tree.nodes.high(row), row];
  }
}

function key(directory: number, name: string): string {
  return `${directory}/${name}`;
}
