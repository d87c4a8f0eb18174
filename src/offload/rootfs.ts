/**
 * The root directory that the daemons see: the DPU's programs, settings and state, and room for
 * the HOST's directories, which would be in the way of the DPU's own daemons at their places.
 */
import { lstatSync, readlinkSync } from "node:fs";
import type { OffloadConfig } from "../config/offload.ts";
import type { Step } from "./step.ts";
import { directory, link } from "./steps/directory.ts";
import { bind, kernelMount, mountpoint } from "./steps/mounts.ts";

/** Trees of the DPU that are the same within. */
const TREES = ["/usr", "/etc", "/run", "/var/lib", "/var/log", "/dev", "/sys"];
/** Links into /usr on a system that is merged, trees of their own elsewhere. */
const MERGED = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];
/** Where the DPU's own procfs is for `-o proc`, and for who wants it whatever /proc is. */
const OWN_PROC = "/local_proc";

/** The steps that make it, but for `shares`; none where it is the DPU's own root. */
export function rootfs({ rootfs: root, binds }: OffloadConfig, shares: readonly string[]): Step[] {
  if (root === "") return [];
  return [
    directory(root),
    mountpoint(root),
    ...[...TREES, ...binds].flatMap((path) => bound(root, path)),
    ...MERGED.flatMap((path) => merged(root, path)),
    directory(`${root}/root`, { mode: 0o700, volatile: true }),
    directory(`${root}/opt`, { volatile: true }),
    directory(`${root}/tmp`),
    kernelMount("tmpfs", `${root}/tmp`, "mode=1777"),
    link(`${root}/var/run`, "/run"),
    ...["/proc", OWN_PROC]
      .filter((path) => !shares.includes(path))
      .flatMap((path) => [directory(`${root}${path}`), kernelMount("proc", `${root}${path}`)]),
  ];
}

function bound(root: string, path: string): Step[] {
  return [directory(`${root}${path}`), bind(path, `${root}${path}`)];
}

function merged(root: string, path: string): Step[] {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return [];
  return status.isSymbolicLink() ? [link(`${root}${path}`, readlinkSync(path))] : bound(root, path);
}
