/** Finds out whether a change that failed has happened all the same. */
import { lstatSync } from "node:fs";
import { inodeOf } from "./look.ts";
import { describe, type Model, type Properties } from "./model.ts";
import type { Place } from "./perform.ts";
import type { Change } from "./record.ts";
import { Mismatch } from "./shared.ts";

let probes = 0;

/**
 * Asks for a name that nobody has ever seen, which only the server can answer. It
 * answers in order: what was on its way before has happened then, or never will.
 * Throws the error of a mount that does not answer.
 */
export function probe(root: string, worker: number): void {
  lstatSync(`${root}/shared/probe-${worker}-${probes++}`, { throwIfNoEntry: false });
}

/**
 * Looks at what `change` is about: true if it has happened, false if not.
 * Throws Mismatch where neither is true, or the error of a mount that does not answer.
 */
export function whetherHappened({ root, model }: Place, change: Change): boolean {
  const after = model.clone();
  after.apply(change);
  const paths = "to" in change ? [change.path, change.to] : [change.path];
  const seen = paths.map((path) => show(seenAt(root, path)));
  const is = (wanted: Model) => {
    const all = wanted.describe();
    return paths.every((path, index) => show(all.get(path)) === seen[index]);
  };
  if (is(after)) return true;
  if (is(model)) return false;
  throw new Mismatch(`${change.op} has neither happened nor not: there is ${seen.join(" and ")}`);
}

/** Properties at one path alone; of its inode's other names nothing is said. */
function show(properties: Properties | undefined): string {
  const { sameInodeAs: _, ...rest } = properties ?? { type: "nothing" };
  return JSON.stringify(rest);
}

function seenAt(root: string, path: string): Properties | undefined {
  const status = lstatSync(`${root}/${path}`, { throwIfNoEntry: false });
  if (status === undefined) return undefined;
  const inode = inodeOf(`${root}/${path}`, status.mode);
  return describe([{ path, inode, identity: path, links: status.nlink }]).get(path);
}
