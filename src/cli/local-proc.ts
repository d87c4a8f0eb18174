/** What -o proc needs beside the mount itself. */
import { basename, dirname } from "node:path";
import type { MountLine } from "../info/mountinfo.ts";

/**
 * What to warn of where the HOST's /proc is mounted at `target`, the /proc of a chroot
 * perhaps: there the processes need this machine's procfs, too.
 */
export function procWarnings(
  target: string,
  all: readonly Pick<MountLine, "mountpoint" | "type">[],
): string[] {
  const root = dirname(target);
  const has = all.some(
    ({ mountpoint, type }) =>
      type === "proc" && mountpoint !== target && mountpoint.startsWith(`${root}/`),
  );
  if (basename(target) !== "proc" || has) return [];
  return [
    `No procfs of this machine is mounted below ${root}: programs there cannot reach their own ` +
      `entries until you mount -t proc proc ${root}/local_proc`,
  ];
}
