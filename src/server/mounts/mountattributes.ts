/** Attributes of a mount: MountFlag on the wire, MOUNT_ATTR_* for the kernel. */
import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  mountSetattr,
} from "../../sys/fsmount.ts";
import { AT_EMPTY_PATH } from "../../sys/open.ts";
import { MountFlag } from "../../wire/constants.ts";
import { EMPTY_PATH } from "../status.ts";

const ATTRIBUTES = [
  [MountFlag.RDONLY, MOUNT_ATTR_RDONLY],
  [MountFlag.NOSUID, MOUNT_ATTR_NOSUID],
  [MountFlag.NODEV, MOUNT_ATTR_NODEV],
  [MountFlag.NOEXEC, MOUNT_ATTR_NOEXEC],
  [MountFlag.NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW],
  [MountFlag.NODIRATIME, MOUNT_ATTR_NODIRATIME],
] as const;
const ATTRIBUTES_ALL = ATTRIBUTES.reduce(
  (all, [, attribute]) => all | attribute,
  MOUNT_ATTR__ATIME,
);

/** Gives the copy `fd` the attributes that `flags` of the wire say; 0 or -errno, -EBUSY while files are written. */
export function setAttributes(fd: number, flags: number): number {
  let wanted = (flags & MountFlag.RELATIME) === 0 ? MOUNT_ATTR_STRICTATIME : 0;
  if ((flags & MountFlag.NOATIME) !== 0) wanted = MOUNT_ATTR_NOATIME;
  for (const [flag, attribute] of ATTRIBUTES) {
    if ((flags & flag) !== 0) wanted |= attribute;
  }
  return mountSetattr(fd, EMPTY_PATH, AT_EMPTY_PATH, wanted, ATTRIBUTES_ALL);
}
