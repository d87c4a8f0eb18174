/** All contestants, and the choice among them. */
import { floorContestants } from "./floor.ts";
import { qtfsContestants } from "./qtfs.ts";
import { sshfsContestants } from "./sshfs.ts";
import type { Contestant } from "./types.ts";

/** Paths of the executables that are not the system's. */
export interface Programs {
  readonly qtfs: string;
  /** Another build of it, to compare with. */
  readonly other?: string | undefined;
  readonly nullfs: string;
  readonly inetd: string;
}

export function allContestants(programs: Programs): Contestant[] {
  return [
    ...qtfsContestants(programs.qtfs),
    ...(programs.other === undefined ? [] : qtfsContestants(programs.other, "other")),
    { name: "bare", family: "bare", note: "the directory itself" },
    ...sshfsContestants(programs.inetd),
    ...floorContestants(programs.nullfs),
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
