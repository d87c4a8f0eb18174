/** A `qtfs server` of a test's own. */
import { closeSync, openSync, readFileSync } from "node:fs";

export const QTFS = new URL("../../../dist/qtfs", import.meta.url).pathname;

export interface Server {
  /** As for `-o server=`. */
  address: string;
  pid: number;
  log(): string;
  /** Ends it with SIGINT, streams and all, and waits; throws if it does not end. */
  stop(): Promise<void>;
}

const START_MS = 20_000;
const STOP_MS = 10_000;

/**
 * Exports `tree`, with the classes `allow`, unless other `exports` are given, at a socket
 * in `directory`; returns once connections are accepted.
 */
export async function startServer(
  tree: string,
  directory: string,
  allow: readonly string[] = [],
  exports = ["--export", `${tree}:${["rw", ...allow].join(",")}`],
): Promise<Server> {
  const socket = `${directory}/server.sock`;
  const address = `unix://${socket}`;
  const path = `${directory}/server.log`;
  const output = openSync(path, "a");
  const child = Bun.spawn([QTFS, "server", "--listen", address, ...exports], {
    stdin: "ignore",
    stdout: output,
    stderr: output,
  });
  closeSync(output);
  const log = () => readFileSync(path, "utf8");
  const endMs = performance.now() + START_MS;
  while (!(await accepts(socket))) {
    if (child.exitCode !== null || performance.now() > endMs) {
      child.kill("SIGKILL");
      throw new Error(`qtfs server did not start (exit code ${child.exitCode}):\n${log()}`);
    }
    await Bun.sleep(20);
  }
  const stop = async () => {
    child.kill("SIGINT");
    await Promise.race([child.exited, Bun.sleep(STOP_MS)]);
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    throw new Error(`qtfs server did not end after SIGINT:\n${log()}`);
  };
  return { address, pid: child.pid, log, stop };
}

async function accepts(socket: string): Promise<boolean> {
  try {
    const connection = await Bun.connect({ unix: socket, socket: { data() {} } });
    connection.end();
    return true;
  } catch {
    return false;
  }
}
