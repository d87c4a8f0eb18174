/** A session's side of the watcher: which directories its client knows, and what it is told. */
import { PathBuffer } from "../sys/cstring.ts";
import type { Transport } from "../transport/transport.ts";
import { Policy } from "../wire/constants.ts";
import { Event } from "../wire/ops.ts";
import type { Writer } from "../wire/writer.ts";
import { distrust } from "./coherence.ts";
import type { FileSystem } from "./filesystems.ts";
import { identify, statName } from "./status.ts";
import type { Tree } from "./tree.ts";
import { Watcher, type Watching } from "./watcher.ts";

/** Messages that wait while the connection is congested; beyond, all is told anew. */
const BACKLOG_MAX = 16_384;
/** The same, while there is no connection: happenings, for those who watch. */
const UNTOLD_MAX = 4096;

const names = new PathBuffer(1);

/** What has a connection to its client, another one after the client came back. */
export interface Connected {
  readonly transport: Transport;
  /** Starts an EVENT frame on it. */
  beginEvent(): Writer;
}

export class Watched implements Watching {
  readonly #tree: Tree;
  readonly #session: Connected;
  readonly #directories = new Map<string, number>();
  /** Further rows of those that are seen in several mounts. */
  readonly #elsewhere = new Map<string, Set<number>>();
  readonly #keys = new Map<number, string>();
  /** What could not be sent yet, in order. */
  #backlog: (() => void)[] = [];
  /** What was to be told one by one while there was no connection, or all was declared changed. */
  #untold: (() => void)[] = [];
  /** Messages told one by one for which there was no room. */
  lost = 0;
  /** File systems that the client has yet to be told of; FileSystems bounds their number. */
  #met: FileSystem[] = [];
  /** Next row to be declared changed after events were lost, or 0. */
  #resyncRow = 0;
  /** Whether the client has missed anything while it had no connection. */
  #missed = false;

  constructor(tree: Tree, session: Connected) {
    this.#tree = tree;
    this.#session = session;
  }

  get #transport(): Transport {
    return this.#session.transport;
  }

  /** The client learns of entries of the directory `row`, which is `fd`. */
  register(row: number, fd: number): void {
    if (!this.#keys.has(row)) this.#enter(row, Watcher.key(fd) ?? "");
  }

  /**
   * The client learns of the directory `row`, which is `name` in `parent`, which is
   * `dirfd`: events about it name no other directory than itself.
   */
  registerEntry(row: number, parent: number, dirfd: number, name: number): void {
    if (this.#keys.has(row)) return;
    const { device, policies } = this.#tree.nodes;
    const above = this.#keys.get(parent);
    const same = device[row] === device[parent];
    if (!above || !same || policies.get(device[row] as number) !== Policy.WATCHED) return;
    this.#enter(row, Watcher.keyBeside(above, dirfd, name) ?? "");
  }

  #enter(row: number, key: string): void {
    this.#keys.set(row, key);
    if (key === "") return;
    if (!this.#directories.has(key)) {
      this.#directories.set(key, row);
      return;
    }
    const others = this.#elsewhere.get(key);
    if (others === undefined) this.#elsewhere.set(key, new Set([row]));
    else others.add(row);
  }

  /** The client forgot `row`. */
  forget(row: number): void {
    const key = this.#keys.get(row);
    if (key === undefined) return;
    this.#keys.delete(row);
    const others = this.#elsewhere.get(key);
    if (others === undefined) {
      if (this.#directories.get(key) === row) this.#directories.delete(key);
      return;
    }
    if (!others.delete(row)) {
      const [next = row] = others;
      others.delete(next);
      this.#directories.set(key, next);
    }
    if (others.size === 0) this.#elsewhere.delete(key);
  }

  watchedElsewhere(key: string): Iterable<number> | undefined {
    return this.#elsewhere.get(key);
  }

  get hasAliases(): boolean {
    return this.#elsewhere.size > 0;
  }

  watchedDirectory(key: string): number | undefined {
    return this.#directories.get(key);
  }

  nameChanged(directory: number, name: string): void {
    this.#tree.hearing.nameChanged(directory, name);
    this.#send(() => this.#sendName(directory, name));
    this.#changed(directory, true);
  }

  entryChanged(directory: number, name: string, data: boolean): void {
    if (name === "") {
      this.#changed(directory, data);
      return;
    }
    const dirfd = this.#tree.reach.fd(directory);
    if (dirfd < 0 || statName(dirfd, names.putLatin1(0, name)) !== 0) return;
    const { nodes } = this.#tree;
    const row = nodes.find(identify(), nodes.mountOf(directory));
    if (row >= 0) this.#changed(row, data);
  }

  /** What the client asked for changed attributes that its kernel does not expect to change. */
  attributesChanged(row: number): void {
    this.#changed(row, false);
  }

  /** What the client asked for changed data in another place than its kernel thinks. */
  dataChanged(row: number): void {
    this.#changed(row, true);
  }

  /** Sends the EVENT that `write` writes, in its order among the others. */
  tell(write: (w: Writer) => void): void {
    const message = () => {
      write(this.#session.beginEvent());
      this.#transport.end();
    };
    const isReady = !this.#transport.closed && this.#resyncRow === 0 && this.#untold.length === 0;
    if (isReady) this.#send(message);
    else if (this.#untold.length < UNTOLD_MAX) this.#untold.push(message);
    else this.lost++;
  }

  /** The client has met a file system: told after the answer that is being written. */
  fileSystemMet(met: FileSystem): void {
    this.#met.push(met);
  }

  everythingChanged(): void {
    if (this.#transport.closed) {
      this.#missed = true;
      return;
    }
    this.#backlog = [];
    this.#resyncRow = 1;
    this.flush();
  }

  /** The connection has ended: what changes until there is another is told as a whole then. */
  detached(): void {
    if (this.#backlog.length > 0 || this.#resyncRow > 0) this.#missed = true;
    this.#backlog = [];
    this.#resyncRow = 0;
  }

  /** There is a connection again; `lost`: events that were sent have not arrived. */
  resumed(lost: boolean): void {
    this.#met = [];
    this.#tree.fileSystems.tellAll();
    if (lost || this.#missed) this.everythingChanged();
    else this.flush();
    this.#missed = false;
  }

  /** Sends what waited, as far as the connection takes it. */
  flush(): void {
    while (this.#met.length > 0 && !this.#transport.congested) {
      this.#sendFileSystem(this.#met.shift() as FileSystem);
    }
    while (this.#backlog.length > 0 && !this.#transport.congested) this.#backlog.shift()?.();
    const { nodes } = this.#tree;
    while (this.#resyncRow > 0 && !this.#transport.congested) {
      const row = this.#resyncRow;
      if (row >= nodes.rows) {
        this.#resyncRow = 0;
        break;
      }
      this.#resyncRow = row + 1;
      if ((nodes.lookups[row] as number) === 0) continue;
      this.#sendChanged(row, true);
      if (nodes.parentAlive(row)) this.#sendName(nodes.parent[row] as number, nodes.nameOf(row));
    }
    if (this.#resyncRow > 0 || this.#transport.closed) return;
    while (this.#untold.length > 0 && !this.#transport.congested) this.#untold.shift()?.();
  }

  /** Whether anything waits to be sent. */
  get waits(): boolean {
    const told = this.#backlog.length + this.#untold.length + this.#met.length;
    return told > 0 || this.#resyncRow > 0;
  }

  #changed(row: number, data: boolean): void {
    // Whatever the client is told next, it is told again when it opens the file.
    if (data) distrust(this.#tree, row);
    this.#send(() => this.#sendChanged(row, data));
  }

  #send(message: () => void): void {
    if (this.#transport.closed) this.#missed = true;
    if (this.#transport.closed || this.#resyncRow > 0) return;
    if (!this.#transport.congested && this.#backlog.length === 0) message();
    else if (this.#backlog.length < BACKLOG_MAX) this.#backlog.push(message);
    else this.everythingChanged();
  }

  #sendFileSystem({ type, policy, path }: FileSystem): void {
    const w = this.#session.beginEvent();
    w.array(5);
    w.uint(Event.FILE_SYSTEM);
    w.uint(type.magic);
    w.latin1(type.name);
    w.uint(policy);
    w.latin1(path);
    this.#transport.end();
  }

  #sendChanged(row: number, data: boolean): void {
    const w = this.#session.beginEvent();
    w.array(4);
    w.uint(Event.CHANGED);
    this.#putNode(w, row);
    w.uint(data ? 1 : 0);
    w.uint(this.#tree.nodes.shownIn(row));
    this.#transport.end();
  }

  #sendName(directory: number, name: string): void {
    const w = this.#session.beginEvent();
    w.array(4);
    w.uint(Event.RENAMED);
    this.#putNode(w, directory);
    w.latin1(name);
    w.uint(this.#tree.nodes.shownIn(directory));
    this.#transport.end();
  }

  #putNode(w: { uint64(high: number, low: number): void }, row: number): void {
    w.uint64(this.#tree.nodes.high(row), row);
  }
}
