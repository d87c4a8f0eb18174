/**
 * A HOST's trees of the kernel's files in one exported directory, and its mount: proc, sys,
 * cgroup2 and cgroup1/NAME, which the test has mounted there for itself.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { run, sh } from "../support/run.ts";
import { QTFS, type Server, startServer } from "../support/server.ts";

export interface KernelHost {
  /** The exported directory. */
  tree: string;
  mountpoint: string;
  /** A directory beside both. */
  scratch: string;
  server: Server;
  /** Version 1 hierarchies there are: controllers, and `qtfs`, which has none. */
  hierarchies: string[];
  /** Processes that serve the mount. */
  pids(): number[];
  close(): Promise<void>;
}

/** The hierarchy without controllers, which any machine with cgroups can have. */
export const NAMED = "qtfs";

/** Controllers that are with version 1 on this machine: the others may be version 2's. */
function controllers(): string[] {
  const rows = readFileSync("/proc/cgroups", "utf8").trim().split("\n").slice(1);
  const fields = rows.map((row) => row.split("\t"));
  return fields.flatMap(([name = "", hierarchy]) => (hierarchy === "0" ? [] : [name]));
}

/** Mounts the trees, serves and mounts them. */
export async function startKernelHost(): Promise<KernelHost> {
  const directory = mkdtempSync(`${process.env.TMPDIR ?? "/var/tmp"}/kernel-`);
  await chmod(directory, 0o755);
  const [tree, mountpoint, scratch] = ["host", "mnt", "scratch"].map((at) => `${directory}/${at}`);
  if (tree === undefined || mountpoint === undefined || scratch === undefined) throw new Error();
  for (const path of [tree, mountpoint, scratch]) mkdirSync(path);
  const mounted: string[] = [];
  const mount = async (type: string, at: string, options = "rw") => {
    mkdirSync(`${tree}/${at}`, { recursive: true });
    const { code } = await run(["mount", "-t", type, "-o", options, type, `${tree}/${at}`]);
    if (code === 0) mounted.push(`${tree}/${at}`);
    return code === 0;
  };
  let server: Server | undefined;
  const close = async () => {
    await run(["umount", "--lazy", mountpoint]);
    await server?.stop().catch(() => {});
    for (const path of mounted.reverse()) await run(["umount", "--lazy", path]);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    for (const [type, at] of [
      ["proc", "proc"],
      ["sysfs", "sys"],
      ["cgroup2", "cgroup2"],
    ] as const) {
      if (!(await mount(type, at))) throw new Error(`Cannot mount ${type}`);
    }
    const hierarchies: string[] = [];
    for (const name of [...controllers(), NAMED]) {
      const options = name === NAMED ? `none,name=${name}` : name;
      if (await mount("cgroup", `cgroup1/${name}`, options)) hierarchies.push(name);
    }
    server = await startServer(tree, directory);
    await sh(`${QTFS} mount -o server=${server.address} ${tree} ${mountpoint}`);
    // The HOST's mounts come a moment later.
    const seen = ["proc/version", "sys/kernel", "cgroup2/cgroup.procs"];
    for (const name of hierarchies) seen.push(`cgroup1/${name}/tasks`);
    const waits = seen.map((path) => `until [ -e ${mountpoint}/${path} ]; do sleep 0.02; done`);
    await sh(waits.join("\n"), { timeoutMs: 30_000 });
    const serving = server;
    const pids = () => [serving.pid, ...mountProcesses(mountpoint)];
    return { tree, mountpoint, scratch, server, hierarchies, pids, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Processes whose arguments name the mountpoint: the mount's and its keeper. */
function mountProcesses(mountpoint: string): number[] {
  const pids = readdirSync("/proc").map(Number).filter(Number.isInteger);
  return pids.filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
      return words[0]?.startsWith("qtfs") && words.includes(mountpoint);
    } catch {
      // It has just ended.
      return false;
    }
  });
}
