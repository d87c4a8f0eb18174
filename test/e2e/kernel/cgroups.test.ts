/**
 * The life of cgroups, versions 1 and 2, through the mount: made, limited, given
 * processes of the HOST, watched and removed, with the errno of each refusal.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { run } from "../support/run.ts";
import { type KernelHost, NAMED, startKernelHost } from "./host.ts";
import { compileWatch, Waiting } from "./waiting.ts";

let host: KernelHost;
let program = "";
const name = `qtfs-life-${process.pid}`;

beforeAll(async () => {
  host = await startKernelHost();
  program = await compileWatch(host.scratch);
});
afterAll(() => host?.close());

/** What `work` comes to: "done", what it returns, or the errno's name. */
function outcome(work: () => unknown): string {
  try {
    return String(work() ?? "done").trim();
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** One cgroup as seen below `root`. */
class Group {
  readonly path: string;

  constructor(root: string, at: string) {
    this.path = `${root}/${at}`;
  }

  make = (below = "") => outcome(() => mkdirSync(`${this.path}${below}`));
  remove = (below = "") => outcome(() => rmdirSync(`${this.path}${below}`));
  write = (file: string, text: string | number) =>
    outcome(() => writeFileSync(`${this.path}/${file}`, `${text}\n`));
  append = (file: string, text: string) =>
    outcome(() => writeFileSync(`${this.path}/${file}`, text, { flag: "a" }));
  read = (file: string) => outcome(() => readFileSync(`${this.path}/${file}`, "latin1"));
}

/** Runs `life` in a group of the mount, and one of the HOST's own: what is seen is the same. */
async function compare(
  at: string,
  life: (group: Group, pid: number) => Promise<string[]> | string[],
): Promise<string[]> {
  const seen: string[][] = [];
  for (const [i, root] of [host.tree, host.mountpoint].entries()) {
    const group = new Group(root, `${at}/${name}-${i}`);
    const sleeper = Bun.spawn(["sleep", "1000"]);
    try {
      expect(group.make()).toBe("done");
      const lines = await life(group, sleeper.pid);
      const plain = lines.map((line) => line.replaceAll(String(sleeper.pid), "PID"));
      sleeper.kill();
      await sleeper.exited;
      seen.push([...plain, await removed(group)]);
    } finally {
      sleeper.kill();
      await run(["rmdir", `${host.tree}/${at}/${name}-${i}`]);
    }
  }
  expect(seen[1]).toEqual(seen[0] as string[]);
  return seen[1] as string[];
}

/** Removes a group once its last process has left it. */
async function removed(group: Group): Promise<string> {
  const endMs = Date.now() + 30_000;
  let result = group.remove();
  while (result === "EBUSY" && Date.now() < endMs) {
    await Bun.sleep(10);
    result = group.remove();
  }
  return result;
}

test("version 2: made, bounded, entered, refused, removed", async () => {
  const seen = await compare("cgroup2", (group, pid) => [
    group.read("cgroup.events"),
    group.write("cgroup.max.descendants", 1),
    group.make("/a"),
    group.make("/b"),
    group.read("cgroup.max.descendants"),
    group.remove(),
    group.remove("/a"),
    group.write("cgroup.max.descendants", "many"),
    group.write("cgroup.subtree_control", "+nonesuch"),
    group.write("cgroup.type", "domain"),
    group.write("cgroup.procs", "nobody"),
    group.write("cgroup.procs", -5),
    group.write("cgroup.procs", 4_194_303),
    group.write("cgroup.procs", pid),
    group.read("cgroup.procs"),
    group.read("cgroup.events"),
    group.remove(),
    group.write("cgroup.events", "x"),
    group.write("cgroup.freeze", 2),
    outcome(() => rmdirSync(`${group.path}/cgroup.procs`)),
    outcome(() => writeFileSync(`${group.path}/nonesuch`, "")),
  ]);
  expect(seen.slice(2, 4)).toEqual(["done", "EAGAIN"]);
  expect(seen[5]).toBe("EBUSY");
  expect(seen.slice(7, 9)).toEqual(["EINVAL", "EINVAL"]);
  expect(seen.slice(13, 17)).toEqual(["done", "PID", "populated 1\nfrozen 0", "EBUSY"]);
  expect(seen.at(-1)).toBe("done");
});

test("version 2: a controller limits, and a group with processes may not hand it on", async () => {
  const root = new Group(host.mountpoint, "cgroup2");
  const preferred = ["memory", "pids", "hugetlb", "cpu"];
  const available = root.read("cgroup.controllers").split(" ");
  const controller = preferred.find((one) => available.includes(one));
  if (controller === undefined) throw new Error("version 2 has no controller on this machine");
  const file = { memory: "memory.max", pids: "pids.max", cpu: "cpu.max" }[controller];
  const wasOn = root.read("cgroup.subtree_control").split(" ").includes(controller);
  expect(root.write("cgroup.subtree_control", `+${controller}`)).toBe("done");
  try {
    const seen = await compare("cgroup2", (group, pid) => {
      const limit = file ?? "hugetlb.2MB.max";
      return [
        group.write(limit, "max"),
        group.write(limit, 8_388_608),
        group.read(limit),
        group.write(limit, "much"),
        group.append(limit, "4194304"),
        group.read(limit),
        group.write("cgroup.procs", pid),
        group.write("cgroup.subtree_control", `+${controller}`),
      ];
    });
    console.log(`the controller was ${controller}`);
    expect(seen[3]).toBe("EINVAL");
    // The cpu is handed on to whom has processes in threaded groups only, too.
    expect(seen[7]).toBe("EBUSY");
  } finally {
    if (!wasOn) root.write("cgroup.subtree_control", `-${controller}`);
  }
});

test("version 2: freezing and the end of the last process are told to who waits", async () => {
  await compare("cgroup2", async (group, pid) => {
    const watch = new Waiting(program, "poll", `${group.path}/cgroup.events`);
    const lines = [await watch.line()];
    group.write("cgroup.procs", pid);
    lines.push(await watch.line());
    group.write("cgroup.freeze", 1);
    lines.push(await watch.line());
    group.write("cgroup.freeze", 0);
    lines.push(await watch.line());
    process.kill(pid, "SIGKILL");
    lines.push(await watch.line());
    await watch.end();
    expect(lines.map((line) => line.replace("woken PRI ERR: ", ""))).toEqual([
      "waiting",
      "populated 1 frozen 0 ",
      "populated 1 frozen 1 ",
      "populated 1 frozen 0 ",
      "populated 0 frozen 0 ",
    ]);
    return lines;
  });
});

test("version 1: made, entered, refused, removed", async () => {
  const seen = await compare(`cgroup1/${NAMED}`, (group, pid) => [
    group.write("notify_on_release", 1),
    group.read("notify_on_release"),
    group.write("tasks", "nobody"),
    group.write("tasks", 4_194_303),
    group.write("tasks", pid),
    group.read("tasks"),
    group.read("cgroup.procs"),
    group.remove(),
    group.make("/below"),
    group.remove(),
    group.remove("/below"),
  ]);
  expect(seen).toEqual([
    ...["done", "1", "EINVAL", "ESRCH", "done", "PID", "PID"],
    ...["EBUSY", "done", "EBUSY", "done", "done"],
  ]);
});

/** Where `controller` is on this machine: the number of version 1's hierarchy, 0 for version 2. */
function hierarchyOf(controller: string): string | undefined {
  const rows = readFileSync("/proc/cgroups", "utf8")
    .split("\n")
    .map((line) => line.split("\t"));
  return rows.find(([of, , , enabled]) => of === controller && enabled === "1")?.[1];
}

/** Registers a test where `controller` is with version 1 on this machine. */
function testOfVersion1(controller: string, title: string, work: () => Promise<void>): void {
  if ((hierarchyOf(controller) ?? "0") !== "0") test(`version 1, ${controller}: ${title}`, work);
}

/** Where it is with version 2, as in the guest of cgroups-guest.test.ts. */
function testOfVersion2(controller: string, title: string, work: () => Promise<void>): void {
  if (hierarchyOf(controller) !== "0") return;
  test(`version 2, ${controller}: ${title}`, async () => {
    const root = new Group(host.mountpoint, "cgroup2");
    expect(root.write("cgroup.subtree_control", `+${controller}`)).toBe("done");
    try {
      await work();
    } finally {
      root.write("cgroup.subtree_control", `-${controller}`);
    }
  });
}

testOfVersion2("memory", "who takes more than the limit is killed, and it is told", async () => {
  const seen = await compare("cgroup2", async (group) => {
    const lines = [group.write("memory.max", "16M"), group.read("memory.max")];
    lines.push(group.write("memory.max", "much"), group.write("memory.events", 1));
    const script = "read -r; head -c 200M /dev/zero | tail -c 100M | wc -c";
    const child = Bun.spawn(["bash", "-c", script], { stdin: "pipe", stdout: "ignore" });
    lines.push(group.write("cgroup.procs", child.pid), group.remove());
    const events = new Waiting(program, "poll", `${group.path}/memory.events`);
    const populated = new Waiting(program, "epoll", `${group.path}/cgroup.events`);
    lines.push(await events.line(), await populated.line());
    child.stdin.write("\n");
    child.stdin.end();
    const told = await events.lineWith("oom_kill 1");
    lines.push(told.replace(/(max|oom) \d+/g, "$1 N"), await populated.lineWith("populated 0"));
    await child.exited;
    for (const one of [events, populated]) await one.end();
    return lines;
  });
  expect(seen).toEqual([
    ...["done", "16777216", "EINVAL", "EINVAL", "done", "EBUSY", "waiting", "waiting"],
    "woken PRI ERR: low 0 high 0 max N oom N oom_kill 1 oom_group_kill 0 ",
    "woken PRI ERR: populated 0 frozen 0 ",
    "done",
  ]);
});

testOfVersion2("pids", "more than the limit are refused, and it is told", async () => {
  const seen = await compare("cgroup2", async (group) => {
    const lines = [group.write("pids.max", 1), group.read("pids.max"), group.write("pids.max", -1)];
    lines.push(group.write("pids.max", "many"));
    const events = new Waiting(program, "poll", `${group.path}/pids.events`);
    lines.push(await events.line());
    const script = `echo $$ >${group.path}/cgroup.procs; exec 2>&1; (true)`;
    const { stdout } = await run(["dash", "-c", script]);
    lines.push(await events.lineWith("max 1"), stdout);
    await events.end();
    return lines;
  });
  const woken = "woken PRI ERR: max 1 ";
  expect(seen.slice(0, 6)).toEqual(["done", "1", "EINVAL", "EINVAL", "waiting", woken]);
  expect(seen[6]).toContain("fork");
});

testOfVersion2("cpuset", "processors that are none, and none for who is in it", async () => {
  const seen = await compare("cgroup2", (group, pid) => [
    group.write("cpuset.cpus", "one"),
    group.write("cpuset.cpus", 0),
    group.write("cgroup.procs", pid),
    group.write("cpuset.cpus", ""),
    group.read("cpuset.cpus.effective"),
  ]);
  expect(seen).toEqual(["EINVAL", "done", "done", "ENOSPC", "0", "done"]);
});

testOfVersion1("cpuset", "a group without processors takes nobody", async () => {
  const seen = await compare("cgroup1/cpuset", (group, pid) => [
    group.write("tasks", pid),
    group.write("cpuset.cpus", "100000"),
    group.write("cpuset.cpus", "one"),
    group.write("cpuset.cpus", 0),
    group.write("tasks", pid),
    group.write("cpuset.mems", 0),
    group.write("tasks", pid),
    group.read("cpuset.cpus"),
    group.write("cpuset.cpus", ""),
  ]);
  expect(seen[0]).toBe("ENOSPC");
  expect(seen[2]).toBe("EINVAL");
  expect(seen.slice(3, 9)).toEqual(["done", "ENOSPC", "done", "done", "0", "ENOSPC"]);
});

testOfVersion1("pids", "more than the limit are refused", async () => {
  const seen = await compare("cgroup1/pids", async (group) => {
    const limited = group.write("pids.max", 1);
    const script = `echo $$ >${group.path}/cgroup.procs; exec 2>&1; (true)`;
    // Not bash, which tries again for half a minute.
    const { stdout } = await run(["dash", "-c", script]);
    const events = group.read("pids.events").replace(/\d+/, "N");
    return [limited, group.read("pids.max"), group.write("pids.max", -1), events, stdout];
  });
  expect(seen.slice(0, 4)).toEqual(["done", "1", "EINVAL", "max N"]);
  expect(seen[4]).toContain("fork");
});

testOfVersion1("memory", "who takes more than the limit is killed, and it is counted", async () => {
  const seen = await compare("cgroup1/memory", async (group) => {
    const lines = [
      group.write("memory.limit_in_bytes", "16M"),
      group.read("memory.limit_in_bytes"),
      group.write("memory.limit_in_bytes", "much"),
      group.read("memory.oom_control").replace(/^oom_kill \d+/m, "oom_kill N"),
    ];
    const script = `echo $$ >${group.path}/cgroup.procs; head -c 200M /dev/zero | tail -c 100M`;
    const { code } = await run(["bash", "-c", `${script} | wc -c`]);
    const kills = /oom_kill (\d+)/.exec(group.read("memory.oom_control"))?.[1];
    return [...lines, `${code}`, Number(kills) > 0 ? "killed" : "not killed"];
  });
  expect(seen.slice(0, 3)).toEqual(["done", "16777216", "EINVAL"]);
  expect(seen[5]).toBe("killed");
});

testOfVersion1("memory", "events by descriptors of another machine are refused", async () => {
  const group = new Group(host.mountpoint, `cgroup1/memory/${name}`);
  expect(group.make()).toBe("done");
  if (existsSync(`${group.path}/cgroup.event_control`)) {
    // Its numbers would be taken for the server's.
    expect(group.write("cgroup.event_control", "5 6")).toBe("ENOTSUP");
  }
  expect(group.remove()).toBe("done");
});
