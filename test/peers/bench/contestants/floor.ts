/** The null file system, which does nothing but speak FUSE: what no daemon can beat. */
import type { Contestant } from "./types.ts";

export function floorContestants(nullfs: string): Contestant[] {
  const make = (name: string, note: string, extra: string[]): Contestant => ({
    name,
    family: "floor",
    note: `null FUSE file system in C, in memory, spinning 50 µs; ${note}`,
    holdsTree: true,
    mount: ({ mode, target }) =>
      mode === "uncached" ? [nullfs, "-u", target] : [nullfs, ...extra, target],
  });
  // Small files are faster through, streams are faster with writeback.
  return [
    make("floor", "writes go through to the daemon", []),
    { ...make("floor-wb", "with the writeback cache", ["-w"]), modes: ["default"] },
  ];
}
