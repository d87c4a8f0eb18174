/** What containers are left on the HOST when the offload goes: their shims know no other manager. */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";
import { mounts } from "../../info/mountinfo.ts";
import { endProcess, processes, wordsOf } from "../processes.ts";
import { execute, type Step } from "../step.ts";
import { mountAt } from "./mounts.ts";

const END_MS = 10_000;

/** What tells of a profile's containers on the HOST. */
export interface Traces {
  /** Sockets that their shims report to. */
  readonly managers: readonly string[];
  /** Where runc keeps their state: directories of directories named by namespace (runc --root). */
  readonly runtimes: readonly string[];
  /** What the paths of network namespaces begin with that their managers have made. */
  readonly networks: string;
  /** Directories in which nobody else mounts anything. */
  readonly trees: readonly string[];
}

/** Ends all containers of these managers, with their shims, and unmounts what was mounted for them. */
export function containers({ managers, runtimes, networks, trees }: Traces): Step {
  const isShim = (words: readonly string[]) => {
    const at = words.indexOf("-address");
    const isOurs = at !== -1 && managers.includes(words[at + 1] ?? "");
    return isOurs && /(^|\/)containerd-shim/.test(words[0] ?? "");
  };
  return {
    name: "containers",
    commands: [],
    isDone: () => true,
    run: () => null,
    undo: async () => {
      for (const words of runtimes.flatMap(deletions)) await execute(words);
      for (const pid of processes()) {
        if (isShim(wordsOf(pid))) endProcess(pid, "SIGKILL", END_MS);
      }
      for (const tree of trees) await unmountBelow(tree);
      for (const path of startingWith(networks)) await removeNetwork(path);
    },
  };
}

/** Commands that kill the containers of `runtime` and remove their control groups. */
function deletions(runtime: string): string[][] {
  return namesIn(runtime).flatMap((space) => {
    const root = `${runtime}/${space}`;
    return namesIn(root).map((id) => ["runc", "--root", root, "delete", "--force", id]);
  });
}

/** Paths of what has a name that begins with the last part of `prefix`. */
function startingWith(prefix: string): string[] {
  const directory = dirname(prefix);
  const names = namesIn(directory).filter((name) => name.startsWith(basename(prefix)));
  return names.map((name) => `${directory}/${name}`);
}

/** Where it is mounted no more, its file is left. */
async function removeNetwork(path: string): Promise<void> {
  if (mountAt(path) !== undefined) await execute(["umount", "--lazy", path]);
  rmSync(path, { force: true });
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Unmounts what is mounted below `tree`, the newest first. */
async function unmountBelow(tree: string): Promise<void> {
  const below = mounts().filter(({ mountpoint }) => mountpoint.startsWith(`${tree}/`));
  for (const { mountpoint } of below.reverse()) await execute(["umount", "--lazy", mountpoint]);
}
