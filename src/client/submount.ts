/** One of the superblocks beside the first: what is known of it, and how it is made. */
import { makeSuperblock, type Superblock } from "../fuse/superblock.ts";
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
} from "../sys/fsmount.ts";
import { MountFlag } from "../wire/constants.ts";
import { BULK_MAX } from "./bulk.ts";
import { type HostMount, pathText } from "./hostmount.ts";
import type { MountOptions } from "./options.ts";

/** Stands for no descriptor. */
export const NOWHERE = -1;

export interface Submount {
  readonly host: HostMount;
  readonly channel: number;
  readonly fuseFd: number;
  /** Its mount while that is not in the tree yet, or NOWHERE. */
  mountFd: number;
  /** mnt_id of its mount; 0 while it is not in the tree. */
  id: number;
  /** The root's node, in halves. */
  high: number;
  low: number;
  /** Resolves with whether the server has it. */
  readonly rooted: PromiseWithResolvers<boolean>;
}

type Allowed = Pick<MountOptions, "suid" | "dev" | "noexec" | "noatime" | "readOnly">;

/** A superblock for `host`; -errno where the kernel will not. */
export function makeFor(
  host: HostMount,
  options: Allowed & Pick<MountOptions, "fsname" | "allowOther">,
): Superblock | number {
  return makeSuperblock({
    source: `${options.fsname.replace(/\/$/, "")}/${pathText(host)}`,
    rootMode: host.rootType,
    maxReadBytes: BULK_MAX,
    allowOther: options.allowOther,
    attributes: attributes(host.flags, options),
  });
}

/** MOUNT_ATTR_* bits: what the HOST's mount does not allow is not allowed here either. */
function attributes(flags: number, { suid, dev, noexec, noatime, readOnly }: Allowed): number {
  const chosen: [boolean, number, number][] = [
    [readOnly, MountFlag.RDONLY, MOUNT_ATTR_RDONLY],
    [!suid, MountFlag.NOSUID, MOUNT_ATTR_NOSUID],
    [!dev, MountFlag.NODEV, MOUNT_ATTR_NODEV],
    [noexec, MountFlag.NOEXEC, MOUNT_ATTR_NOEXEC],
    [noatime, MountFlag.NOATIME, MOUNT_ATTR_NOATIME],
    [false, MountFlag.NODIRATIME, MOUNT_ATTR_NODIRATIME],
    [false, MountFlag.NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW],
  ];
  return chosen
    .filter(([own, flag]) => own || (flags & flag) !== 0)
    .reduce((sum, [, , attribute]) => sum | attribute, 0);
}
