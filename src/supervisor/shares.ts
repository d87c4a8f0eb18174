/**
 * Which places here are the HOST's: the mounts of qtfs that this machine has, kept from one
 * call to the next for as long as the kernel says that no mount has changed.
 */
import { readlinkSync } from "node:fs";
import { type MountLine, parseMountinfo } from "../info/mountinfo.ts";
import { reports } from "../info/query.ts";
import { isMount } from "../info/report.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";
import { type HostPlace, latin1, locate, type Share } from "../onhost/places.ts";
import { cstring } from "../sys/cstring.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, O_CLOEXEC, O_RDONLY, openat } from "../sys/open.ts";
import { POLLPRI, PollSet } from "../sys/poll.ts";
import {
  fstatfs,
  STATFS,
  STATFS_STRUCT_SIZE,
  STATX,
  STATX_ATTR_MOUNT_ROOT,
  STATX_MNT_ID,
  STATX_STRUCT_SIZE,
  statx,
} from "../sys/stat.ts";
import type { Procfs } from "./spaces.ts";

/** linux/magic.h */
const FUSE_SUPER_MAGIC = 0x6573_5546;
const EMPTY = cstringForEver("");
const figures = allocate(STATFS_STRUCT_SIZE);
const described = allocate(STATX_STRUCT_SIZE);

/** A place on a share, and the mount here that it was found in. */
export interface Found {
  readonly place: HostPlace<Share>;
  /** Whether it is the root of a mount that this machine's users have made: a share, a bind of it. */
  readonly isOurs: boolean;
}

/** A share, and the line of mountinfo that it was when we heard of it. */
interface Known {
  readonly share: Share;
  readonly id: number;
  readonly device: string;
}

function cstringForEver(text: string): number {
  const region = allocate(text.length + 1);
  region.bytes.latin1Write(text, 0);
  return region.address;
}

/** Whether what was described last is the root of a mount. */
function isMountRoot(): boolean {
  return (described.view.getUint32(STATX.attributes, true) & STATX_ATTR_MOUNT_ROOT) !== 0;
}

export class Shares {
  readonly #procfs: Procfs;
  readonly #changes = new PollSet(1);
  #lines: readonly MountLine[] = [];
  #known: readonly Known[] = [];
  /** Devices that no mount's process has told of, with those mounts. */
  #strange = new Set<string>();

  constructor(procfs: Procfs) {
    this.#procfs = procfs;
    const fd = openat(procfs.fd, cstring("self/mountinfo"), O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) throw new Error(`Cannot open mountinfo: errno ${-fd}`);
    this.#changes.add(fd, POLLPRI);
  }

  async all(): Promise<Share[]> {
    await this.#refresh();
    if (this.#known.length === 0) await this.#ask();
    return this.#known.map(({ share }) => share);
  }

  /** One share of each server. */
  async servers(): Promise<Share[]> {
    const byServer = new Map((await this.all()).map((share) => [share.server, share]));
    return [...byServer.values()];
  }

  /** What the O_PATH descriptor `fd` is on the HOST; undefined where it is this machine's. */
  async find(fd: number): Promise<Found | undefined> {
    if (fstatfs(fd, figures.address) !== 0) return undefined;
    if (figures.view.getUint32(STATFS.type, true) !== FUSE_SUPER_MAGIC) return undefined;
    if (statx(fd, EMPTY, AT_EMPTY_PATH, STATX_MNT_ID, described.address) !== 0) return undefined;
    const id = described.view.getUint32(STATX.mntId, true);
    const isRoot = isMountRoot();
    await this.#refresh();
    const line = this.#lines.find((one) => one.id === id);
    if (line === undefined || line.type !== FILE_SYSTEM_TYPE) return undefined;
    const real = readlinkSync(`/proc/self/fd/${fd}`, { encoding: "buffer" }).toString("latin1");
    const place = await this.#placeOf(real, line);
    if (place === undefined) return undefined;
    return { place, isOurs: isRoot && !this.#isHosts(line, place) };
  }

  /**
   * The place on a share that a mount of this machine's is on, if the O_PATH descriptor `fd`
   * is of that mount's root.
   */
  async findBelow(fd: number): Promise<HostPlace<Share> | undefined> {
    if (statx(fd, EMPTY, AT_EMPTY_PATH, STATX_MNT_ID, described.address) !== 0) return undefined;
    if (!isMountRoot()) return undefined;
    const id = described.view.getUint32(STATX.mntId, true);
    await this.#refresh();
    const line = this.#lines.find((one) => one.id === id);
    const under = this.#lines.find((one) => one.id === line?.parent);
    if (line === undefined || under?.type !== FILE_SYSTEM_TYPE) return undefined;
    return await this.#placeOf(latin1(line.mountpoint), under);
  }

  /** Where a path in a mount of qtfs is on the HOST. */
  async #placeOf(real: string, line: MountLine): Promise<HostPlace<Share> | undefined> {
    const place = this.#locate(real, line.id);
    if (place !== undefined || this.#strange.has(line.device)) return place;
    await this.#ask();
    const later = this.#locate(real, line.id);
    if (later === undefined) this.#strange.add(line.device);
    return later;
  }

  #locate(real: string, id: number): HostPlace<Share> | undefined {
    const served = this.#known.map(({ share }) => share);
    return locate(real, id, this.#lines, served);
  }

  /** What qtfs mounts for the HOST's mounts begins at a root and is in another of its mounts. */
  #isHosts(line: MountLine, { path }: HostPlace<Share>): boolean {
    if (line.root !== "/" || path === "") return false;
    return this.#lines.find(({ id }) => id === line.parent)?.type === FILE_SYSTEM_TYPE;
  }

  /** Reads the table again if it has changed. */
  async #refresh(): Promise<void> {
    const isFirst = this.#lines.length === 0;
    if (this.#changes.wait(0) <= 0 && !isFirst) return;
    this.#lines = parseMountinfo(this.#procfs.read("self/mountinfo") ?? "");
    this.#strange.clear();
    if (!this.#known.every((one) => this.#isStill(one))) await this.#ask();
  }

  #isStill({ share, id, device }: Known): boolean {
    const line = this.#lines.findLast(({ mountpoint }) => mountpoint === share.target);
    return line?.id === id && line.device === device;
  }

  /** Asks all mounts' processes what they serve. */
  async #ask(): Promise<void> {
    const known: Known[] = [];
    for (const report of await reports()) {
      if (!isMount(report)) continue;
      const { target, source, server, splits } = report;
      const line = this.#lines.findLast(({ mountpoint }) => mountpoint === target);
      if (line === undefined) continue;
      const share = { target, source, server, splits };
      known.push({ share, id: line.id, device: line.device });
    }
    this.#known = known;
  }
}
