/** A session's side of the watcher: which directories its client knows, and what it is told. */
import { PathBuffer } from "../sys/cstring.ts";
import type { Transport } from "../transport/transport.ts";
import { ROOT_MOUNT } from "../wire/constants.ts";
import { Event } from "../wire/ops.ts";
import type { Writer } from "../wire/writer.ts";
import { distrust } from "./coherence.ts";
import type { FileSystem } from "./filesystems.ts";
import { identify, statName } from "./status.ts";
import type { Tree } from "./tree.ts";
import { Watcher, type Watching } from "./watcher.ts";

/** Messages that wait while the connection is congested; beyond, all is told anew. */
const BACKLOG_MAX = 16_384;

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
  readonly #keys = new Map<number, string>();
  /** What could not be sent yet, in order. */
  #backlog: (() => void)[] = [];
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
    if (this.#keys.has(row)) return;
    const key = Watcher.key(fd) ?? "";
    this.#keys.set(row, key);
    if (key !== "") this.#directories.set(key, row);
  }

  /** The client forgot `row`. */
  forget(row: number): void {
    const key = this.#keys.get(row);
    if (key === undefined) return;
    this.#keys.delete(row);
    if (this.#directories.get(key) === row) this.#directories.delete(key);
  }

  watchedDirectory(key: string): number | undefined {
    return this.#directories.get(key);
  }

  nameChanged(directory: number, name: string): void {
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
    const row = this.#tree.nodes.find(identify());
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
  }

  /** Whether anything waits to be sent. */
  get waits(): boolean {
    return this.#backlog.length > 0 || this.#resyncRow > 0 || this.#met.length > 0;
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
    w.uint(ROOT_MOUNT);
    this.#transport.end();
  }

  #sendName(directory: number, name: string): void {
    const w = this.#session.beginEvent();
    w.array(4);
    w.uint(Event.RENAMED);
    this.#putNode(w, directory);
    w.latin1(name);
    w.uint(ROOT_MOUNT);
    this.#transport.end();
  }

  #putNode(w: { uint64(high: number, low: number): void }, row: number): void {
    w.uint64(this.#tree.nodes.high(row), row);
  }
}
