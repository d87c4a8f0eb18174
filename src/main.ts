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
/** What a server starts beside itself (server/bridge/link.ts). */
const BRIDGE_NAME = "qtfs-bridge";
/** What `qtfs supervise` starts beside a program (supervisor/process.ts). */
const SUPERVISOR_WORD = "supervisor";
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
  if (name === BRIDGE_NAME) {
    const { serveBridge } = await import("./server/bridge/process.ts");
    return serveBridge(words[0] ?? "");
  }
  // Under a bind mount of itself, too, its name is another program's; from its source it is bun's.
  const isSource = !Bun.main.startsWith("/$bunfs/");
  const isOwn = name.startsWith("qtfs") || (isSource && name === basename(process.execPath));
  if (name === "rexec" || (isOwn && words[0] === "rexec")) {
    const { runRexec } = await import("./cli/rexec.ts");
    return await runRexec(name === "rexec" ? words.length : words.length - 1);
  }
  if (isOwn && words[0] === "supervise") {
    const { runSupervise } = await import("./cli/supervise.ts");
    return await runSupervise(words.length - 1);
  }
  if (isOwn && words[0] === SUPERVISOR_WORD) {
    const { supervise } = await import("./supervisor/process.ts");
    return await supervise(words.slice(1));
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
