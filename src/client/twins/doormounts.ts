/** The twin process's ways into the superblocks of the mount: copies of it at no place. */
import { cstring, PathBuffer } from "../../sys/cstring.ts";
import { cloneMount } from "../../sys/detached.ts";
import { E } from "../../sys/errno.ts";
import { allocate } from "../../sys/memory.ts";
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_STATX_DONT_SYNC,
  close,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOCTTY,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  openat,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  setNonBlocking,
} from "../../sys/open.ts";
import { STATX, STATX_INO, STATX_STRUCT_SIZE, statx } from "../../sys/stat.ts";
import { readlinkat } from "../../sys/tree.ts";
import { openNode } from "../nodehandle.ts";
import { placesBelow } from "../superblocks.ts";
import type { Node } from "./channel.ts";
import { channelOfDoors, DOORS_NAME } from "./doors.ts";

const PATH_BYTES = 4096;
/** linux/fuse.h */
const FUSE_ROOT_ID = 1;

const names = new PathBuffer(1);

const status = allocate(STATX_STRUCT_SIZE);
const link = allocate(PATH_BYTES);

export interface DoormanMount {
  readonly device: number;
  readonly channel: number;
  /** Its root, opened for handles to be looked up on. */
  readonly root: number;
  /** Its hidden directory. */
  readonly doors: number;
  /** The HOST's path of its root, without a slash at the end. */
  readonly hostPath: string;
}

export class DoormanMounts {
  readonly #open = new Map<number, DoormanMount>();
  readonly #enters: () => void;
  #target = "";
  #source = "";

  /** `enters` is called before a superblock is entered, which may wait for who waits for us. */
  constructor(enters: () => void) {
    this.#enters = enters;
  }

  /** Where the mount is, and what of the HOST it is. */
  set(target: string, source: string): void {
    this.#target = target;
    this.#source = source === "/" ? "" : source;
  }

  /** The way into the superblock of a channel, or -errno: -ENODEV where it is mounted nowhere. */
  of(channel: number): DoormanMount | number {
    return this.#find((mount) => mount.channel === channel) ?? -E.ENODEV;
  }

  /** The first that is `wanted`, among all that there are. */
  #find(wanted: (mount: DoormanMount) => boolean): DoormanMount | undefined {
    for (const mount of this.#open.values()) if (wanted(mount)) return mount;
    const devices = new Set([...this.#open.values()].map(({ device }) => device));
    for (const [device, place] of placesBelow(this.#target)) {
      if (devices.has(device)) continue;
      const opened = this.#enter(device, place);
      if (typeof opened === "number") continue;
      this.#open.set(opened.channel, opened);
      if (wanted(opened)) return opened;
    }
    return undefined;
  }

  /** 0 if a node of the superblock with that device's number is one of the server's; else -EXDEV. */
  has(device: number, [high, low]: Node): number {
    const mount = this.#find((one) => one.device === device);
    if (mount === undefined) return -E.EXDEV;
    // The kernel calls each root the same; the server does that of the first alone.
    const isOtherRoot = high === 0 && low === FUSE_ROOT_ID && mount.channel !== 0;
    return isOtherRoot ? -E.EXDEV : 0;
  }

  /**
   * Opens the file at a path of the HOST's (its characters are bytes) if it is in the mount and
   * has that inode number: a descriptor, -EXDEV, -ESTALE, or another -errno.
   */
  openPath(path: string, inode: number, flags: number): number {
    let best: DoormanMount | undefined;
    this.#find((mount) => {
      const isIn = path === mount.hostPath || path.startsWith(`${mount.hostPath}/`);
      if (isIn && mount.hostPath.length >= (best?.hostPath.length ?? 0)) best = mount;
      return false;
    });
    if (best === undefined) return -E.EXDEV;
    const below = path.slice(best.hostPath.length + 1);
    const how = flags | O_CLOEXEC | O_NOCTTY | ((flags & O_PATH) === 0 ? O_NONBLOCK : 0);
    const resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    const fd = openat2(best.root, names.putLatin1(0, below || "."), how, 0, resolve);
    if (fd < 0) return fd;
    if (statx(fd, cstring(""), AT_EMPTY_PATH, STATX_INO, status.address) === 0) {
      if (Number(status.view.getBigUint64(STATX.ino, true)) === inode) return settled(fd, flags);
    }
    close(fd);
    return -E.ESTALE;
  }

  /** Leaves what is mounted nowhere any more, as far as this process sees: those channels. */
  leaveUnmounted(): number[] {
    const there = placesBelow(this.#target);
    const gone = [...this.#open.values()].filter(({ device }) => !there.has(device));
    for (const { channel, doors, root } of gone) {
      this.#open.delete(channel);
      close(doors);
      close(root);
    }
    return gone.map(({ channel }) => channel);
  }

  /** 0 while the kernel has the node's inode, -ESTALE once it has forgotten it, or another -errno. */
  look(channel: number, [high, low]: Node): number {
    const mount = this.of(channel);
    if (typeof mount === "number") return mount;
    const fd = openNode(mount.root, high, low, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return Math.min(fd, 0);
  }

  /** Path on the HOST of an entry; its name alone where its directory cannot be had. */
  hostPath(mount: DoormanMount, [high, low]: Node, name: string): string {
    const fd = openNode(mount.root, high, low, O_PATH | O_CLOEXEC);
    if (fd < 0) return name;
    const path = cstring(`/proc/thread-self/fd/${fd}`);
    const got = readlinkat(-1, path, link.address, PATH_BYTES);
    close(fd);
    if (got <= 0) return name;
    const directory = link.bytes.latin1Slice(0, got);
    return `${mount.hostPath}${directory === "/" ? "" : directory}/${name}`;
  }

  #enter(device: number, place: string): DoormanMount | number {
    const clone = cloneMount(AT_FDCWD, cstring(place));
    if (clone < 0) return clone;
    const root = openat(clone, cstring("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    close(clone);
    if (root < 0) return root;
    this.#enters();
    const doors = openat(root, cstring(DOORS_NAME), O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (doors < 0) {
      close(root);
      return doors;
    }
    const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
    statx(doors, cstring(""), flags, STATX_INO, status.address);
    const channel = channelOfDoors(status.view.getUint32(STATX.ino, true));
    const below = Buffer.from(place.slice(this.#target.length)).toString("latin1");
    const source = Buffer.from(this.#source).toString("latin1");
    return { device, channel, root, doors, hostPath: `${source}${below}` };
  }
}

/** `fd`, waiting again if `flags` do not say otherwise. */
function settled(fd: number, flags: number): number {
  if ((flags & (O_PATH | O_NONBLOCK)) === 0) setNonBlocking(fd, false);
  return fd;
}
