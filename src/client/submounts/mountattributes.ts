/** What mounts of ours allow. */
import {
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
} from "../../sys/fsmount.ts";
import { MountFlag } from "../../wire/constants.ts";
import type { MountOptions } from "../options.ts";

/** How a mount was asked for. */
export type Allowed = Pick<MountOptions, "suid" | "dev" | "noexec" | "noatime" | "readOnly">;

/** MOUNT_ATTR_* bits that may change with the HOST's mount; times of access are kept there alone. */
export const ATTRIBUTES =
  MOUNT_ATTR_RDONLY |
  MOUNT_ATTR_NOSUID |
  MOUNT_ATTR_NODEV |
  MOUNT_ATTR_NOEXEC |
  MOUNT_ATTR_NODIRATIME |
  MOUNT_ATTR_NOSYMFOLLOW;

/** MOUNT_ATTR_* bits: what the HOST's mount does not allow is not allowed here either. */
export function attributesOf(
  flags: number,
  { suid, dev, noexec, noatime, readOnly }: Allowed,
): number {
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
