/**
 * mount(2) under a supervisor. What is mounted on a share is mounted on the HOST, where the
 * containers are; the kernel here does all else: what a thread with mounts of its own does,
 * mounts at other places, FUSE, and what is only this machine's (a device, a directory).
 */

import type { HostPlace, Share } from "../onhost/places.ts";
import { mountedHere, mountsBelow, seenHere } from "../onhost/seen.ts";
import { hostPath, translated } from "../onhost/sources.ts";
import { cstring } from "../sys/cstring.ts";
import { E } from "../sys/errno.ts";
import { allocate } from "../sys/memory.ts";
import { AT_EMPTY_PATH, AT_FDCWD, close } from "../sys/open.ts";
import { S_IFBLK, S_IFMT, STATX, STATX_STRUCT_SIZE, STATX_TYPE, statx } from "../sys/stat.ts";
import { MOUNT_PROPAGATION, MountFlag } from "../wire/constants.ts";
import { MOUNT_DATA_MAX } from "../wire/limits.ts";
import { type Call, GO_ON, onHost, type Verdict } from "./call.ts";
import { bindNetns, OTHER } from "./netns.ts";
import type { Found } from "./shares.ts";

/** linux/capability.h */
export const CAP_SYS_ADMIN = 21;
/** What programs of Linux 2.2 put in the upper half of the flags (linux/mount.h). */
const MS_MGC_VAL = 0xc0ed_0000;
const MS_MGC_MSK = 0xffff_0000;
const OF_ONE_THAT_IS_THERE = MountFlag.REMOUNT | MOUNT_PROPAGATION;

const described = allocate(STATX_STRUCT_SIZE);

/** What a mount's source is on the HOST. */
interface Source {
  /** A place on the same share. */
  readonly from?: string;
  /** A text, empty for none. */
  readonly text: string;
}

export async function mountCall(call: Call): Promise<Verdict> {
  const { args, caller } = call;
  if (caller.isPrivate || !caller.has(CAP_SYS_ADMIN)) return GO_ON;
  const source = caller.text(args.address(0));
  const target = caller.text(args.address(1));
  const type = caller.text(args.address(2));
  const data = caller.text(args.address(4));
  if (typeof target === "number" || typeof type === "number") return GO_ON;
  if (typeof source === "number" || typeof data === "number") return GO_ON;
  const flags = mountFlags(args.arg32(3));
  const isNew = (flags & (OF_ONE_THAT_IS_THERE | MountFlag.BIND | MountFlag.MOVE)) === 0;
  if (isNew && isFuse(type)) return GO_ON;
  const found = await find(call, target);
  // What is done to a share as a whole, or to a bind of it, is done to this machine's mount.
  if (found === undefined || found.isOurs) return GO_ON;
  const at = found.place;
  if ((flags & (MountFlag.BIND | MountFlag.REMOUNT)) === MountFlag.BIND) {
    const verdict = await bindNetns(call, source, target, at);
    if (verdict !== OTHER) return verdict;
  }
  const what = await sourceOf(call, source, flags, at);
  if (what === GO_ON || !args.isValid()) return GO_ON;
  const { options, within = what.from } = isNew
    ? await optionsThere(call, data, type, at)
    : { options: data };
  if (options.length >= MOUNT_DATA_MAX) return -E.E2BIG;
  const before = mountedHere(at);
  const takesAll = (flags & (MountFlag.MOVE | MountFlag.REC)) !== 0;
  const below = what.from !== undefined && takesAll ? mountsBelow({ ...at, path: what.from }) : [];
  const result = onHost(call, at.mount, (calls) =>
    calls.mount({
      ...(within !== undefined && { from: within }),
      source: what.from === undefined ? what.text : "",
      at: at.path,
      type,
      flags,
      data: Buffer.from(options, "latin1"),
    }),
  );
  const makes = (flags & OF_ONE_THAT_IS_THERE) === 0;
  if (result === 0 && makes && !seenHere(at, before, below)) {
    call.log("warn", `What was mounted at ${target} on the HOST is not seen here`);
  }
  return result;
}

/** Whether a type of file system is served by a process of this machine. */
export function isFuse(type: string): boolean {
  return /^fuse(\.|blk|$)/.test(type);
}

/** Moves what is mounted on the HOST from one place of a share to another. */
export function moveOnHost(call: Call, from: HostPlace<Share>, at: HostPlace<Share>): number {
  const flags = MountFlag.MOVE;
  const before = mountedHere(at);
  const below = mountsBelow(from);
  const data = new Uint8Array();
  const result = onHost(call, at.mount, (calls) =>
    calls.mount({ from: from.path, source: "", at: at.path, type: "", flags, data }),
  );
  if (result === 0) seenHere(at, before, below);
  return result;
}

function mountFlags(flags: number): number {
  return (flags & MS_MGC_MSK) >>> 0 === MS_MGC_VAL ? flags & ~MS_MGC_MSK : flags;
}

/** What a path means to the caller on a share; undefined where it means nothing there. */
async function find({ caller, shares }: Call, path: string): Promise<Found | undefined> {
  const fd = caller.open(AT_FDCWD, path);
  if (fd < 0) return undefined;
  try {
    return await shares.find(fd);
  } finally {
    // What is open on a mount makes it busy.
    close(fd);
  }
}

/** What the source is on the HOST; GO_ON where it is nothing there. */
async function sourceOf(
  call: Call,
  source: string,
  flags: number,
  at: HostPlace<Share>,
): Promise<Source | undefined> {
  if ((flags & OF_ONE_THAT_IS_THERE) !== 0) return { text: source };
  const usesPlace = (flags & (MountFlag.BIND | MountFlag.MOVE)) !== 0;
  if (!usesPlace && !source.startsWith("/")) return { text: source };
  const fd = call.caller.open(AT_FDCWD, source);
  // The HOST may have what this machine has not; a bind of nothing the kernel refuses.
  if (fd < 0) return usesPlace ? GO_ON : { text: source };
  try {
    const place = (await call.shares.find(fd))?.place;
    if (place === undefined) return usesPlace || isDevice(fd) ? GO_ON : { text: source };
    if (place.mount.server !== at.mount.server) return GO_ON;
    if (place.mount.source === at.mount.source && usesPlace) return { from: place.path, text: "" };
    return { text: hostPath(place) };
  } finally {
    close(fd);
  }
}

/** Whether it is a block device of this machine's, which the HOST has not. */
function isDevice(fd: number): boolean {
  if (statx(fd, cstring(""), AT_EMPTY_PATH, STATX_TYPE, described.address) !== 0) return false;
  return (described.view.getUint16(STATX.mode, true) & S_IFMT) === S_IFBLK;
}

/** A file system's options, and the place on the share that paths in them begin at. */
interface Options {
  readonly options: string;
  readonly within?: string;
}

/** The options as the HOST is told them. */
async function optionsThere(
  call: Call,
  data: string,
  type: string,
  at: HostPlace<Share>,
): Promise<Options> {
  const options = await translatedHere(call, data, type, at, () => true);
  if (options.length < MOUNT_DATA_MAX) return { options };
  // So many layers that their paths are relative for want of room: they stay so.
  const cwd = await find(call, ".");
  if (cwd?.place.mount.source !== at.mount.source) return { options };
  const isAbsolute = (path: string) => path.startsWith("/");
  const shorter = await translatedHere(call, data, type, at, isAbsolute);
  return { options: shorter, within: cwd.place.path };
}

/** A file system's options, its directories that `isMeant` picks named as the HOST names them. */
async function translatedHere(
  call: Call,
  data: string,
  type: string,
  at: HostPlace<Share>,
  isMeant: (path: string) => boolean,
): Promise<string> {
  const found = new Map<string, HostPlace<Share>>();
  const wanted = new Set<string>();
  translated(data, type, (path) => {
    if (isMeant(path)) wanted.add(path);
    return undefined;
  });
  for (const path of wanted) {
    const place = (await find(call, path))?.place;
    if (place?.mount.server === at.mount.server) found.set(path, place);
  }
  return translated(data, type, (path) => found.get(path));
}
