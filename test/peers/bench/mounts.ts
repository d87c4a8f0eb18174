/** The mount table, and getting a mount out of it whatever its daemon does. */
import { readFileSync, writeFileSync } from "node:fs";
import { run } from "./processes.ts";

export interface MountPoint {
  readonly path: string;
  /** `major:minor`, the name below /sys/class/bdi. */
  readonly device: string;
}

/** Mounts at or below `path`, the deepest first. Never touches a mount. */
export function mountsBelow(path: string): MountPoint[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields[4] === path || fields[4]?.startsWith(`${path}/`))
    .map((fields) => ({ path: fields[4] as string, device: fields[2] as string }))
    .reverse();
}

/** Raises the readahead of a mount to 1 MiB; the kernel starts FUSE at 128 KiB. */
export function raiseReadahead(path: string): void {
  const [mount] = mountsBelow(path);
  if (mount) writeFileSync(`/sys/class/bdi/${mount.device}/read_ahead_kb`, "1024");
}

/** Makes every caller of a FUSE mount come back with ECONNABORTED. */
export function abort(path: string): void {
  for (const { device } of mountsBelow(path)) {
    try {
      writeFileSync(`/sys/fs/fuse/connections/${device.split(":")[1]}/abort`, "1");
    } catch {
      // Not FUSE, or gone: then there is nobody to set free.
    }
  }
}

/** Unmounts everything at or below `path`; lazily where it is busy. */
export async function unmount(path: string): Promise<void> {
  for (const mount of mountsBelow(path)) {
    await run(["umount", mount.path], { timeoutMs: 5000 }).catch(() =>
      run(["umount", "-l", mount.path], { timeoutMs: 5000 }),
    );
  }
}
