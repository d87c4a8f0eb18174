/**
 * The entry of the executable. The name it is called by chooses what it is:
 * `mount.qtfs` and `mount.fuse.qtfs` are mount(8)'s helpers, any other name is
 * `qtfs` with its subcommands. Everything else is imported when it is needed.
 *
 * `process.argv0` is argv[0] as execve(2) got it, also in an executable of
 * `bun build --compile`, whose `process.argv` begins with names of its own.
 */
import { basename } from "node:path";

/** What a mount starts beside itself (client/twins/starter.ts). */
const TWINS_NAME = "qtfs-twins";
const MOUNT_HELPERS = ["mount.qtfs", "mount.fuse.qtfs"];

async function main(words: string[]): Promise<number> {
  if (MOUNT_HELPERS.includes(basename(process.argv0))) {
    const [{ runProgram }, { mountHelper }] = await Promise.all([
      import("./cli/run.ts"),
      import("./cli/mount-helper.ts"),
    ]);
    return await runProgram(mountHelper, words);
  }
  if (basename(process.argv0) === TWINS_NAME) {
    const { serveTwins } = await import("./client/twins/process.ts");
    return await serveTwins();
  }
  if (words[0] === "rexec") {
    const { runRexec } = await import("./cli/rexec.ts");
    return await runRexec(words.length - 1);
  }
  const { runSubcommand } = await import("./cli/qtfs.ts");
  return await runSubcommand(words);
}

// Not process.exit: it drops what a slow reader of our output has not taken yet.
main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
