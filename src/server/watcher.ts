/**
 * What changes on the HOST behind the clients' backs: one fanotify group per
 * reactor watches every exported file system, and what its sessions' clients
 * hold of it is invalidated by events (DESIGN §4: kept true by the server).
 *
 * An event names a directory by file handle, and an entry of it. Directories
 * that clients know entries of are registered under their handles. What the
 * reactor's own thread did for a session, that session's client knows already.
 */
import { E } from "../sys/errno.ts";
import {
  FAN_ATTRIB,
  FAN_CREATE,
  FAN_DELETE,
  FAN_EVENT_INFO_TYPE_DFID,
  FAN_EVENT_INFO_TYPE_DFID_NAME,
  FAN_INFO,
  FAN_METADATA,
  FAN_METADATA_STRUCT_SIZE,
  FAN_MODIFY,
  FAN_MOVED_FROM,
  FAN_MOVED_TO,
  FAN_ONDIR,
  FAN_Q_OVERFLOW,
  fanotifyInit,
  fanotifyMarkFileSystem,
} from "../sys/fanotify.ts";
import { HANDLE, MAX_HANDLE_SZ, nameToHandleAt } from "../sys/handle.ts";
import { read } from "../sys/io.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, close } from "../sys/open.ts";
import { gettid } from "../sys/process.ts";
import { fstatfs, STATFS, STATFS_STRUCT_SIZE } from "../sys/stat.ts";
import { CURRENT_DIRECTORY, EMPTY_PATH } from "./status.ts";
import { Happenings } from "./watches/happenings.ts";

const NAMES = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO;
const CONTENTS = FAN_MODIFY | FAN_ATTRIB;
const EVENTS_BYTES = 64 * 1024;
/** More than any event has: metadata, a file handle and a name of 255 bytes. */
const EVENT_MAX = 1024;
/** Identity of a file system, with which a key begins. */
const FSID_BYTES = 8;
const HANDLE_MAX = HANDLE.data + MAX_HANDLE_SZ;

/** Who is told: one session's tree. */
export interface Watching {
  /** Row of the directory registered under `key`, or undefined. */
  watchedDirectory(key: string): number | undefined;
  /** Further rows that it has in other mounts, or undefined. */
  watchedElsewhere(key: string): Iterable<number> | undefined;
  /** Whether any directory has several rows. */
  readonly hasAliases: boolean;
  /** An entry of a directory was made, removed or renamed. */
  nameChanged(directory: number, name: string): void;
  /** An entry's data (or its attributes alone) changed; "" means the directory itself. */
  entryChanged(directory: number, name: string, data: boolean): void;
  /** Events were lost: all that the client holds may have changed. */
  everythingChanged(): void;
}

const handle = allocate(HANDLE_MAX);
const statfsBuffer = allocate(STATFS_STRUCT_SIZE);
const events = allocate(EVENTS_BYTES);

export class Watcher {
  /** The group's descriptor; -1 while nobody watches, or where it cannot be had. */
  fd = -1;
  /** What is told of inodes that programs watch there. */
  readonly happenings = new Happenings();
  readonly #tid = gettid();
  readonly #trees = new Set<Watching>();
  /** Whose requests the thread carries out. */
  #turn: Watching | undefined;
  /** Events delivered to sessions, and those that were their own doing. */
  delivered = 0;
  skipped = 0;

  add(tree: Watching): void {
    this.#trees.add(tree);
  }

  /** The last one takes the group along: nobody would read its events. */
  remove(tree: Watching): void {
    this.#trees.delete(tree);
    if (this.#turn === tree) this.#turn = undefined;
    if (this.#trees.size > 0 || this.fd < 0) return;
    close(this.fd);
    this.fd = -1;
  }

  /** Watches the file system that the directory `fd` is in; whether it can be. */
  watch(fd: number): boolean {
    if (this.fd < 0) this.fd = fanotifyInit();
    if (this.fd < 0) return false;
    const mask = NAMES | CONTENTS | FAN_ONDIR;
    return fanotifyMarkFileSystem(this.fd, mask, fd, CURRENT_DIRECTORY) === 0;
  }

  /** Key under which events name the directory `fd`, or undefined where it has no handle. */
  static key(fd: number): string | undefined {
    if (!findHandle(fd, EMPTY_PATH, AT_EMPTY_PATH)) return undefined;
    if (fstatfs(fd, statfsBuffer.address) !== 0) return undefined;
    const fsid = statfsBuffer.bytes.latin1Slice(STATFS.fsid, STATFS.fsid + FSID_BYTES);
    return fsid + foundHandle();
  }

  /** The same of `name` in the directory `dirfd`, both in the file system of the directory with key `other`. */
  static keyBeside(other: string, dirfd: number, name: number): string | undefined {
    if (!findHandle(dirfd, name, 0)) return undefined;
    return other.slice(0, FSID_BYTES) + foundHandle();
  }

  /**
   * From now on the thread acts for `tree`'s client, or for none. What it has done before is
   * told to all others first; whether there was anything.
   */
  turnTo(tree: Watching | undefined): boolean {
    if (tree === this.#turn) return false;
    // One that is alone has done all that there is.
    const isShared = this.#trees.size > 1;
    if (isShared) this.happenings.deliver();
    const any = isShared && this.deliver();
    this.#turn = tree;
    return any;
  }

  /** Delivers the events there are, at most those of before the last read; whether there were any. */
  deliver(): boolean {
    let any = false;
    for (let isFull = true; isFull && this.fd >= 0; ) {
      const got = read(this.fd, events.address, EVENTS_BYTES);
      if (got === -E.EINTR) continue;
      if (got <= 0) break;
      any = true;
      // Who writes on the HOST without a pause makes events faster than they are read one by one.
      isFull = got > EVENTS_BYTES - EVENT_MAX;
      for (let at = 0; at + FAN_METADATA_STRUCT_SIZE <= got; ) {
        this.#event(at);
        at += events.view.getUint32(at + FAN_METADATA.event_len, true);
      }
    }
    return any;
  }

  #event(at: number): void {
    const { view } = events;
    const mask = view.getUint32(at + FAN_METADATA.mask, true);
    if ((mask & FAN_Q_OVERFLOW) !== 0) {
      for (const tree of this.#trees) tree.everythingChanged();
      return;
    }
    const isOwn = view.getInt32(at + FAN_METADATA.pid, true) === this.#tid;
    if (isOwn && this.#isForItself()) {
      this.skipped++;
      return;
    }
    const info = at + view.getUint16(at + FAN_METADATA.metadata_len, true);
    const end = at + view.getUint32(at + FAN_METADATA.event_len, true);
    if (info + FAN_INFO.handle + HANDLE.data > end) return;
    const type = view.getUint8(info + FAN_INFO.info_type);
    if (type !== FAN_EVENT_INFO_TYPE_DFID_NAME && type !== FAN_EVENT_INFO_TYPE_DFID) return;
    this.#tell(mask, info, type === FAN_EVENT_INFO_TYPE_DFID_NAME, isOwn);
  }

  /** Whether nobody else can know what the thread does, nor its session by another node. */
  #isForItself(): boolean {
    return this.#turn !== undefined && this.#trees.size === 1 && !this.#turn.hasAliases;
  }

  #tell(mask: number, info: number, named: boolean, isOwn: boolean): void {
    const { bytes, view } = events;
    const handleAt = info + FAN_INFO.handle;
    const nameAt = handleAt + HANDLE.data + view.getUint32(handleAt + HANDLE.bytes, true);
    const key = bytes.latin1Slice(info + FAN_INFO.fsid, nameAt);
    let name = "";
    if (named) {
      let stop = nameAt;
      while (bytes[stop] !== 0) stop++;
      name = bytes.latin1Slice(nameAt, stop);
      if (name === ".") name = "";
    }
    for (const tree of this.#trees) {
      const directory = tree.watchedDirectory(key);
      const others = tree.watchedElsewhere(key);
      if (directory === undefined) continue;
      if (isOwn && tree === this.#turn && others === undefined) {
        this.skipped++;
        continue;
      }
      this.delivered++;
      tellOf(tree, directory, mask, name);
      for (const other of others ?? []) tellOf(tree, other, mask, name);
    }
  }
}

function findHandle(dirfd: number, name: number, flags: number): boolean {
  handle.view.setUint32(HANDLE.bytes, MAX_HANDLE_SZ, true);
  return nameToHandleAt(dirfd, name, handle.address, flags) === 0;
}

function foundHandle(): string {
  const length = HANDLE.data + handle.view.getUint32(HANDLE.bytes, true);
  return handle.bytes.latin1Slice(0, length);
}

function tellOf(tree: Watching, directory: number, mask: number, name: string): void {
  if ((mask & NAMES) !== 0 && name !== "") tree.nameChanged(directory, name);
  if ((mask & CONTENTS) !== 0) {
    tree.entryChanged(directory, name, (mask & FAN_MODIFY) !== 0);
  }
}
