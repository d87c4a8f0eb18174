/**
 * A HOST tree and its mount, for one test file.
 *
 * With QTFS_E2E_BARE=1 the "mount" is a bind of the tree itself, with the same
 * nosuid and nodev: it shows whether a test is right about a real file system.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { tmpdir } from "node:os";
import { run } from "./run.ts";
import { QTFS, type Server, startServer } from "./server.ts";

export interface Share {
  /** The exported directory on the HOST's file system. */
  tree: string;
  /** Where it is mounted. */
  mountpoint: string;
  /** A directory beside both, on the HOST's file system, not exported. */
  bare: string;
  /** Absent in bare mode. */
  server?: Server;
  umount(): Promise<void>;
  /** Mounts again, with other options if given. */
  mount(options?: string[]): Promise<void>;
  /** Unmounts, ends the server and removes all of it, even where a part of that fails. */
  close(): Promise<void>;
}

export interface MountOptions {
  /** For `-o`, beside `server=`. */
  options?: string[];
  /** Classes that the export allows. */
  allow?: string[];
}

const BARE = process.env.QTFS_E2E_BARE === "1";
const MOUNT_MS = 30_000;

/** Makes an empty tree, exports and mounts it. */
export async function mountTree({ options = [], allow = [] }: MountOptions = {}): Promise<Share> {
  // The tests compare with a real disk, which /tmp need not be.
  const parent = process.env.TMPDIR === undefined ? "/var/tmp" : tmpdir();
  const directory = mkdtempSync(`${parent}/share-`);
  const tree = `${directory}/host`;
  const mountpoint = `${directory}/mnt`;
  const bare = `${directory}/bare`;
  await chmod(directory, 0o755);
  for (const path of [tree, mountpoint, bare]) mkdirSync(path);

  const server = BARE ? undefined : await startServer(tree, directory, allow);
  const mount = async (chosen: string[] = options) => {
    if (server) await mountQtfs(server, tree, mountpoint, chosen);
    else await bind(tree, mountpoint, chosen);
  };
  const umount = async () => {
    await must(["umount", mountpoint], `umount ${mountpoint}`);
  };
  const close = async () => {
    try {
      if (isMounted(mountpoint)) await umount();
    } finally {
      if (isMounted(mountpoint)) await run(["umount", "--force", "--lazy", mountpoint]);
      await server?.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  };
  try {
    await mount();
  } catch (error) {
    await close();
    throw error;
  }
  return { tree, mountpoint, bare, ...(server ? { server } : {}), umount, mount, close };
}

async function mountQtfs(
  server: Server,
  tree: string,
  mountpoint: string,
  options: string[],
): Promise<void> {
  const list = [`server=${server.address}`, ...options].join(",");
  await must([QTFS, "mount", "-o", list, tree, mountpoint], "qtfs mount", server.log);
  if (!isMounted(mountpoint)) throw new Error("qtfs mount ended well and mounted nothing");
}

async function bind(tree: string, mountpoint: string, options: string[]): Promise<void> {
  const flags = ["suid", "dev"].map((flag) => (options.includes(flag) ? flag : `no${flag}`));
  if (options.includes("ro")) flags.push("ro");
  await must(["mount", "--bind", tree, mountpoint], "mount --bind");
  await must(["mount", "-o", `remount,bind,${flags}`, mountpoint], "mount -o remount");
}

async function must(command: string[], what: string, log?: () => string): Promise<void> {
  const { code, stdout, stderr } = await run(command, { timeoutMs: MOUNT_MS });
  if (code === 0) return;
  const served = log ? `\nserver:\n${log()}` : "";
  throw new Error(`${what}: exit code ${code}\n${stdout}${stderr}${served}`);
}

function isMounted(mountpoint: string): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .some((line) => line.split(" ")[4] === mountpoint);
}
