/** The twin process's ways into the superblocks of the mount: copies of it at no place. */
import { cstring } from "../../sys/cstring.ts";
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
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  openat,
} from "../../sys/open.ts";
import { STATX, STATX_INO, STATX_STRUCT_SIZE, statx } from "../../sys/stat.ts";
import { readlinkat } from "../../sys/tree.ts";
import { openNode } from "../nodehandle.ts";
import { placesBelow } from "../superblocks.ts";
import type { Node } from "./channel.ts";
import { channelOfDoors, DOORS_NAME } from "./doors.ts";

const PATH_BYTES = 4096;

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
  #target = "";
  #source = "";

  /** Where the mount is, and what of the HOST it is. */
  set(target: string, source: string): void {
    this.#target = target;
    this.#source = source === "/" ? "" : source;
  }

  /** The way into the superblock of a channel, or -errno: -ENODEV where it is mounted nowhere. */
  of(channel: number): DoormanMount | number {
    const known = this.#open.get(channel);
    if (known !== undefined) return known;
    const devices = new Set([...this.#open.values()].map(({ device }) => device));
    for (const [device, place] of placesBelow(this.#target)) {
      if (devices.has(device)) continue;
      const opened = this.#enter(device, place);
      if (typeof opened === "number") continue;
      this.#open.set(opened.channel, opened);
      if (opened.channel === channel) return opened;
    }
    return -E.ENODEV;
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
