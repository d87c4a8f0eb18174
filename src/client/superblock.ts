/** How the mount's superblock is made: its flags, readahead, and how long the kernel believes it. */
import { writeFileSync } from "node:fs";
import { mounts } from "../info/mountinfo.ts";
import type { Validity } from "./answers.ts";
import { BULK_MAX } from "./bulk.ts";
import type { CacheMode } from "./client.ts";
import type { MountOptions } from "./options.ts";

/** Validity of what the kernel is told, in seconds, by cache mode. */
export const VALIDITY: Record<CacheMode, Validity> = {
  never: { ordinarySeconds: 0, watchedSeconds: 0 },
  auto: { ordinarySeconds: 1, watchedSeconds: 300 },
  always: { ordinarySeconds: 86_400, watchedSeconds: 86_400 },
};

/** Readahead of the mount; the kernel caps what INIT asks for at 128 KiB. */
const READAHEAD_KB = 1024;

/** Options of fusermount3(1) and mount.fuse3(8) for the superblock. */
export function mountFlags(options: MountOptions, readOnly: boolean): string {
  const flags = [
    "default_permissions",
    `fsname=${options.fsname.replaceAll("\\", "\\\\").replaceAll(",", "\\,")}`,
    "subtype=qtfs",
    `max_read=${BULK_MAX}`,
    readOnly ? "ro" : "rw",
    options.suid ? "suid" : "nosuid",
    options.dev ? "dev" : "nodev",
  ];
  if (options.noexec) flags.push("noexec");
  if (options.noatime) flags.push("noatime");
  if (options.allowOther) flags.push("allow_other");
  return flags.join(",");
}

/** The superblock's device number, from mountinfo: stat would ask our own mount. */
export function deviceOf(target: string): string | undefined {
  return mounts().findLast(({ mountpoint }) => mountpoint === target)?.device;
}

/** Has the kernel read ahead as far as pays over a network. */
export function setReadahead(target: string): void {
  const device = deviceOf(target);
  if (device === undefined) return;
  try {
    writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(READAHEAD_KB));
  } catch {
    // Without the right to change it, readahead stays what the kernel chose.
  }
}
