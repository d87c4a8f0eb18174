/** One of the superblocks beside the first: what is known of it, and how it is made. */
import { makeSuperblock, type Superblock } from "../../fuse/superblock.ts";
import { BULK_MAX } from "../bulk.ts";
import type { MountOptions } from "../options.ts";
import { type HostMount, pathText } from "./hostmount.ts";
import { type Allowed, attributesOf } from "./mountattributes.ts";

/** Stands for no descriptor. */
export const NOWHERE = -1;

export interface Submount {
  host: HostMount;
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
    attributes: attributesOf(host.flags, options),
  });
}
