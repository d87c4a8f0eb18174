/** One connection to a socket of the HOST while something happens: for other tests. */
import { mkdirSync } from "node:fs";
import { Meeting } from "../../e2e/sockets/stage.ts";
import { run, sh } from "../../e2e/support/run.ts";

const SEED = 1;
/** Takes 2 s and more: the program pauses. */
const BYTES = 4 << 20;
const RUN_MS = 60_000;

/** Compiles program.c into `directory`; the program's path. */
export async function buildStreams(directory: string): Promise<string> {
  const program = `${directory}/streams`;
  await sh(`cc -O2 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/program.c`);
  return program;
}

/**
 * What a program says that sends through `mountpoint` to a socket in `tree`, and hears the same
 * again, while `strike` is done after its first second: "whole\n" if no byte was lost.
 */
export async function talkDuring(
  place: { directory: string; tree: string; mountpoint: string },
  strike: () => Promise<void>,
): Promise<string> {
  const program = await buildStreams(place.directory);
  mkdirSync(`${place.tree}/talk`);
  const echo = await Meeting.up([program, "echo", `${place.tree}/talk/socket`, "stream"]);
  try {
    const call = (bytes: number) =>
      run([program, "call", `${place.mountpoint}/talk/socket`, "stream", `${SEED}`, `${bytes}`], {
        timeoutMs: RUN_MS,
      });
    // The twin process is there from then on.
    await call(1);
    const talking = call(BYTES);
    await Bun.sleep(1000);
    await strike();
    const { stdout, stderr } = await talking;
    return `${stdout}${stderr}`;
  } finally {
    await echo.end();
  }
}
