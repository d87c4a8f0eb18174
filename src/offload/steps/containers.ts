/** What containers are left on the HOST when the offload goes: their shims know no other manager. */

import { existsSync, readdirSync } from "node:fs";
import { mounts } from "../../info/mountinfo.ts";
import { endProcess, processes, wordsOf } from "../processes.ts";
import { execute, type Step } from "../step.ts";

const END_MS = 10_000;

/** What tells of a profile's containers on the HOST. */
export interface Traces {
  /** Sockets that their shims report to. */
  readonly managers: readonly string[];
  /** Where runc keeps their state: directories of directories named by namespace (runc --root). */
  readonly runtimes: readonly string[];
}

/** Ends all containers of these managers, with their shims, and unmounts all below `trees`. */
export function containers({ managers, runtimes }: Traces, trees: readonly string[]): Step {
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

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

/** Unmounts what is mounted below `tree`, the newest first. */
async function unmountBelow(tree: string): Promise<void> {
  const below = mounts().filter(({ mountpoint }) => mountpoint.startsWith(`${tree}/`));
  for (const { mountpoint } of below.reverse()) await execute(["umount", "--lazy", mountpoint]);
}
