/**
 * The scratch directory of one run, and the end of everything in it: mounts,
 * daemons, files; also of runs that were killed before they could clean up.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { abort as abortMounts, mountsBelow, unmount } from "./mounts.ts";
import { end, isAlive, marked, signal } from "./processes.ts";

const PREFIX = "qtfs-bench.";

export class Scratch {
  readonly path: string;

  constructor(parent: string) {
    this.path = `${parent}/${PREFIX}${process.pid}`;
    mkdirSync(this.path, { recursive: true, mode: 0o755 });
  }

  /** A directory below the scratch directory, made if it is missing. */
  directory(...names: string[]): string {
    const path = [this.path, ...names].join("/");
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Kills all daemons and sets free who waits for them. */
  halt(): void {
    signal(marked(`${this.path}:`), "SIGKILL");
    abortMounts(this.path);
  }

  clean(): Promise<void> {
    return clean(this.path);
  }
}

/** Ends daemons before mounts, so that nothing can wait for a daemon that hangs. */
async function clean(path: string): Promise<void> {
  await end(marked(`${path}:`), 2000);
  abortMounts(path);
  await unmount(path);
  if (mountsBelow(path).length > 0) throw new Error(`Still mounted below ${path}; left as it is`);
  rmSync(path, { recursive: true, force: true });
}

/** Cleans up after runs that are gone. */
export async function cleanStale(parent: string): Promise<void> {
  if (!existsSync(parent)) throw new Error(`No directory ${parent}`);
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(PREFIX) || isAlive(Number(name.slice(PREFIX.length)))) continue;
    await clean(`${parent}/${name}`);
  }
}
