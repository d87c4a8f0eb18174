/**
 * Which inodes of FUSE programs watch with inotify(7): /proc says it of every descriptor,
 * with the file system's device number and the inode's file handle, which for FUSE is the
 * node's number.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

import { TWINS_NAME } from "../twins/starter.ts";

const INOTIFY = "anon_inode:inotify";
/** fs/notify/fdinfo.c prints the kernel's own dev_t; fs/fuse/inode.c: FILEID_INO64_GEN, a handle of node (upper word first) and generation. */
const LINE = / sdev:([0-9a-f]+) .*fhandle-bytes:c fhandle-type:81 f_handle:([0-9a-f]{16})/;

/** A node that is watched: as the kernel calls it in the superblock with this device number. */
export interface WatchedNode {
  readonly device: number;
  readonly high: number;
  readonly low: number;
}

export class WatchScan {
  /** Nodes by the process that watches them. */
  readonly #nodes = new Map<number, ReadonlyMap<string, WatchedNode>>();

  /** Looks at the processes `pids`, or at all. */
  look(pids?: Iterable<number>): void {
    if (pids === undefined) this.#nodes.clear();
    for (const pid of pids ?? processes()) {
      const found = this.#of(pid);
      if (found.size > 0) this.#nodes.set(pid, found);
      else this.#nodes.delete(pid);
    }
  }

  /** All nodes of FUSE that are watched, by a text of their own each. */
  get nodes(): Map<string, WatchedNode> {
    return new Map([...this.#nodes.values()].flatMap((nodes) => [...nodes]));
  }

  /** The processes that watch any. */
  get pids(): Set<number> {
    return new Set(this.#nodes.keys());
  }

  #of(pid: number): Map<string, WatchedNode> {
    const found = new Map<string, WatchedNode>();
    const directory = `/proc/${pid}`;
    try {
      for (const fd of readdirSync(`${directory}/fd`)) {
        if (linkText(`${directory}/fd/${fd}`) === INOTIFY && !isTwin(pid))
          this.#read(`${directory}/fdinfo/${fd}`, found);
      }
    } catch {
      // It has ended.
    }
    return found;
  }

  #read(path: string, found: Map<string, WatchedNode>): void {
    for (const line of readFileSync(path, "latin1").split("\n")) {
      const [, device, handle] = LINE.exec(line) ?? [];
      if (device === undefined || handle === undefined) continue;
      // Each word is printed byte by byte, the lowest first.
      const bytes = Buffer.from(handle, "hex");
      const [high, low] = [bytes.readUInt32LE(0), bytes.readUInt32LE(4)];
      found.set(`${device}/${handle}`, { device: Number.parseInt(device, 16), high, low });
    }
  }
}

function processes(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Whether it is a twin process: what that watches (FIFOs) is for itself. */
function isTwin(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1").trim() === TWINS_NAME && isOurs(pid);
  } catch {
    return false;
  }
}

/** Whether it runs this very program. */
function isOurs(pid: number): boolean {
  return linkText(`/proc/${pid}/exe`) === linkText("/proc/self/exe");
}

function linkText(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
