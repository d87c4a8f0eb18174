/** A stage for one test. */
import { expect } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Stage, type StageOptions } from "../stage.ts";

/** Opens a stage, does `work` with it, and closes it: that has to go well, too. */
export async function withStage(
  options: Omit<StageOptions, "directory" | "seed">,
  work: (stage: Stage, directory: string) => Promise<void>,
): Promise<void> {
  // Not /tmp: it may be a tmpfs, which knows no file handles that outlive a process.
  const parent = process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir();
  const directory = mkdtempSync(`${parent}/fault-`);
  chmodSync(directory, 0o755);
  try {
    const stage = await Stage.open({ ...options, directory, seed: 1 });
    let isDone = false;
    try {
      await work(stage, directory);
      isDone = true;
    } finally {
      if (!isDone) console.log(`${stage.logs()}\n${stage.describe()}`);
      const problems = await stage.close();
      if (isDone) expect(problems).toEqual([]);
      else console.log(problems.join("\n"));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
