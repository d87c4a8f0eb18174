/** Control groups of a test's machine, one in each hierarchy of this machine, as its own roots. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { parseMountinfo } from "../../../src/info/mountinfo.ts";
import { until } from "./program.ts";

const ROOT = "/sys/fs/cgroup";
/** Words of a hierarchy's options that say which one it is. */
const CONTROLLERS =
  /^(cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|hugetlb|net_cls|net_prio|perf_event|rdma|misc|name=.*)$/;

interface Hierarchy {
  type: string;
  mountpoint: string;
  /** For mount(8). */
  options: string;
  group: string;
}

/** Hierarchies that are mounted where all look for them. */
function hierarchies(name: string): Hierarchy[] {
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  const superOptions = new Map(
    text.split("\n").map((line) => [line.split(" ")[4] ?? "", line.split(" ").at(-1) ?? ""]),
  );
  return parseMountinfo(text)
    .filter(({ type, mountpoint }) => type.startsWith("cgroup") && mountpoint.startsWith(ROOT))
    .map(({ type, mountpoint }) => {
      const words = (superOptions.get(mountpoint) ?? "").split(",");
      const which = words.filter((word) => CONTROLLERS.test(word));
      const named = which.some((word) => word.startsWith("name=")) ? ["none", ...which] : which;
      const options = type === "cgroup2" ? "rw" : named.join(",");
      return { type, mountpoint, options, group: `${mountpoint}/${name}` };
    });
}

export class Groups {
  readonly #all: readonly Hierarchy[];

  /** Makes them, with `name` as the name of each. */
  constructor(name: string) {
    this.#all = hierarchies(name);
    for (const { type, mountpoint, options, group } of this.#all) {
      mkdirSync(group);
      if (type !== "cgroup" || !options.split(",").includes("cpuset")) continue;
      for (const file of ["cpuset.cpus", "cpuset.mems"]) {
        writeFileSync(`${group}/${file}`, readFileSync(`${mountpoint}/${file}`));
      }
      writeFileSync(`${group}/cgroup.clone_children`, "1");
    }
  }

  /** What comes before a command that shall be in them. */
  get join(): string[] {
    const script =
      'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"';
    return ["sh", "-euc", script, "sh", ...this.#all.map(({ group }) => group), "--"];
  }

  /** Lines for a shell in a new cgroup namespace and mount namespace: they are the roots. */
  get mountScript(): string {
    const isUnified = this.#all.some(({ mountpoint }) => mountpoint === ROOT);
    const top = isUnified ? [] : [`mount -t tmpfs -o mode=755 tmpfs ${ROOT}`];
    const each = this.#all.map(
      ({ type, mountpoint, options }) =>
        `mkdir -p ${mountpoint}; mount -t ${type} -o ${options} ${type} ${mountpoint}`,
    );
    return ["mount -t sysfs sysfs /sys", ...top, ...each].join("\n");
  }

  /** Removes them once nobody is in them any more. */
  async remove(): Promise<void> {
    for (const { group } of this.#all) {
      await until(
        () => isRemoved(group),
        () => `the end of all in ${group}`,
      );
    }
  }
}

/** Whether the group, with all in it, could be removed. */
function isRemoved(group: string): boolean {
  try {
    removeTree(group);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EBUSY") return false;
    throw error;
  }
}

function removeTree(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(`${path}/${entry.name}`);
  }
  rmdirSync(path);
}
