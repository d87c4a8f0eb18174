/**
 * The entry of the executable. The name it is called by chooses what it is:
 * `mount.qtfs` and `mount.fuse.qtfs` are mount(8)'s helpers, `rexec` and `rexec_server` (or
 * `rexec-server`) subcommands, `qtfs` and what begins so is qtfs itself; any other name is that
 * of a program which is run by the rexec-server. Everything else is imported when it is needed.
 *
 * `process.argv0` is argv[0] as execve(2) got it, also in an executable of
 * `bun build --compile`, whose `process.argv` begins with names of its own.
 */
import { basename } from "node:path";

/** What a mount starts beside itself (client/twins/starter.ts). */
const TWINS_NAME = "qtfs-twins";
/** What a rexec-server starts beside itself (rexec/server/keeperlink.ts). */
const REXEC_KEEPER_NAME = "qtfs-rexec-keeper";
const SERVER_NAMES = ["rexec-server", "rexec_server"];
const MOUNT_HELPERS = ["mount.qtfs", "mount.fuse.qtfs"];

async function main(words: string[]): Promise<number> {
  const name = basename(process.argv0);
  if (MOUNT_HELPERS.includes(name)) {
    const [{ runProgram }, { mountHelper }] = await Promise.all([
      import("./cli/run.ts"),
      import("./cli/mount-helper.ts"),
    ]);
    return await runProgram(mountHelper, words);
  }
  if (name === TWINS_NAME) {
    const { serveTwins } = await import("./client/twins/process.ts");
    return await serveTwins();
  }
  if (name === REXEC_KEEPER_NAME) {
    const { serveKeeper } = await import("./rexec/server/keeper.ts");
    return serveKeeper(words[0] ?? "");
  }
  const isOwn = name.startsWith("qtfs") || name === basename(process.execPath);
  if (name === "rexec" || (isOwn && words[0] === "rexec")) {
    const { runRexec } = await import("./cli/rexec.ts");
    return await runRexec(name === "rexec" ? words.length : words.length - 1);
  }
  if (!isOwn && !SERVER_NAMES.includes(name)) {
    const { runRouted } = await import("./cli/rexec.ts");
    return runRouted();
  }
  const { runSubcommand } = await import("./cli/qtfs.ts");
  return await runSubcommand(isOwn ? words : ["rexec-server", ...words]);
}

// Not process.exit: it drops what a slow reader of our output has not taken yet.
main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
