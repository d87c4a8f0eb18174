/** All contestants, and the choice among them. */
import { qtfsContestants } from "./qtfs.ts";
import { sshfsContestants } from "./sshfs.ts";
import type { Contestant } from "./types.ts";

export interface Helpers {
  readonly nullfs: string;
  readonly inetd: string;
}

export function allContestants(helpers: Helpers): Contestant[] {
  return [
    ...qtfsContestants,
    { name: "bare", family: "bare", note: "the directory itself" },
    ...sshfsContestants(helpers.inetd),
    {
      name: "floor",
      family: "floor",
      note: "null FUSE file system in C, in memory, spinning 50 µs",
      holdsTree: true,
      mount: ({ mode, target }) => [helpers.nullfs, ...(mode === "uncached" ? ["-u"] : []), target],
    },
  ];
}

/** Contestants whose name or family is in `wanted`; all when it is empty. */
export function choose(all: Contestant[], wanted: string[]): Contestant[] {
  const known = new Set(all.flatMap(({ name, family }) => [name, family]));
  const unknown = wanted.find((name) => !known.has(name as never));
  if (unknown !== undefined) {
    throw new Error(`No contestant is called "${unknown}"; there are: ${[...known].join(", ")}`);
  }
  if (wanted.length === 0) return all;
  return all.filter(({ name, family }) => wanted.includes(name) || wanted.includes(family));
}
