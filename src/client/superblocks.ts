/** The superblocks of a mount, as mountinfo has them: by their device numbers. */
import { type MountLine, mounts } from "../info/mountinfo.ts";
import { FILE_SYSTEM_TYPE } from "../info/select.ts";

/** Where the superblock is mounted at or below `target`, and nothing else over it. */
export function placeOf(device: number, target: string): string | undefined {
  return placesBelow(target).get(device);
}

/** Where each superblock of ours is mounted at or below `target`, by its device number. */
export function placesBelow(target: string): Map<number, string> {
  const all = mounts().filter(({ mountpoint }) => {
    return mountpoint === target || mountpoint.startsWith(`${target}/`);
  });
  const found = new Map<number, string>();
  for (const line of all) {
    const { id, mountpoint, type } = line;
    if (type !== FILE_SYSTEM_TYPE || found.has(deviceNumber(line))) continue;
    const isOnTop = all.findLast((other) => other.mountpoint === mountpoint)?.id === id;
    if (isOnTop) found.set(deviceNumber(line), mountpoint);
  }
  return found;
}

/** The device number, the minor in the lower 20 bits. */
export function deviceNumber({ device }: MountLine): number {
  const [major = 0, minor = 0] = device.split(":").map(Number);
  return (major << 20) | minor;
}
