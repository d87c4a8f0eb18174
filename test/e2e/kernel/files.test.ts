/** Single files of the kernel through the mount: read in every way, and written. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { WITHOUT_OTHERS } from "../support/apart.ts";
import { run, sh } from "../support/run.ts";
import { type KernelHost, startKernelHost } from "./host.ts";

let host: KernelHost;
/** A process that does nothing, whose files do not change: nobody mounts anything for it. */
const apart = ["unshare", "--mount", "--propagation", "private", ...WITHOUT_OTHERS];
const sleeper = Bun.spawn([...apart, "sleep", "1000"]);

beforeAll(async () => {
  host = await startKernelHost();
  const program = `${host.scratch}/pieces`;
  await sh(`cc -O2 -Wall -Wextra -Werror -o ${program} ${import.meta.dir}/pieces.c`);
});
afterAll(async () => {
  sleeper.kill();
  await host?.close();
});

const OF_PROCESS = [
  "maps",
  "status",
  "cmdline",
  "environ",
  "mountinfo",
  "limits",
  "auxv",
  "cgroup",
];
const FILES = [
  ...OF_PROCESS.map((name) => `proc/PID/${name}`),
  ...["kallsyms", "filesystems", "devices", "version", "cmdline"].map((name) => `proc/${name}`),
  "proc/sys/kernel/ostype",
  "proc/sys/kernel/core_pattern",
  "sys/kernel/notes",
  "sys/devices/system/cpu/online",
  "sys/kernel/mm/transparent_hugepage/enabled",
  "cgroup2/cgroup.controllers",
];

test.each(FILES)("%s is read in pieces as on the HOST", async (file) => {
  const path = file.replace("PID", String(sleeper.pid));
  if (!existsSync(`${host.tree}/${path}`)) return;
  const read = async (root: string) => {
    const { stdout, stderr } = await run([`${host.scratch}/pieces`, `${root}/${path}`]);
    return stdout + stderr;
  };
  // What the HOST does not read twice the same has changed.
  let [before, there, after] = ["", "", "never"];
  for (let i = 0; i < 10 && (before !== after || there !== after); i++) {
    before = await read(host.tree);
    there = await read(host.mountpoint);
    after = await read(host.tree);
  }
  expect(there).toBe(after);
});

/** What a shell says of each write, with the roots of both sides made the same. */
async function writes(root: string, lines: string[]): Promise<string> {
  const script = lines.map((line) => `${line}; echo "= $?"`).join("\n");
  const child = Bun.spawn(["sleep", "1000"]);
  const { stdout, stderr } = await run(["bash", "-c", `{ ${script}\n} 2>&1`], {
    env: { R: root, P: String(child.pid) },
  });
  child.kill();
  return (stdout + stderr).replaceAll(root, "ROOT").replaceAll(String(child.pid), "PID");
}

test("writes are taken, or refused with the HOST's errno", async () => {
  const lines = [
    "echo 100 >$R/proc/$P/oom_score_adj; cat $R/proc/$P/oom_score_adj",
    "echo 5000 >$R/proc/$P/oom_score_adj",
    "echo much >$R/proc/$P/oom_score_adj",
    "echo other name >$R/proc/$P/comm; cat $R/proc/$P/comm",
    // A seq_file, which no pwrite(2) goes to.
    "echo 70000 >$R/proc/$P/timerslack_ns; cat $R/proc/$P/timerslack_ns",
    "echo 0 0 1 >$R/proc/$P/uid_map",
    "echo nonsense >$R/proc/$P/uid_map",
    "echo deny >$R/proc/$P/setgroups",
    "echo 0x33 >$R/proc/$P/coredump_filter; cat $R/proc/$P/coredump_filter",
    "echo 3 >$R/proc/$P/clear_refs",
    "echo 99 >$R/proc/$P/clear_refs",
    "echo x >$R/proc/$P/status",
    "echo x >$R/proc/version",
    "echo x >$R/proc/nonesuch",
    "echo x >$R/proc/sys/kernel/ostype",
    "echo much >$R/proc/sys/kernel/threads-max",
    "cat $R/proc/sys/vm/swappiness >$R/proc/sys/vm/swappiness",
    "echo 100000 >$R/proc/sys/vm/swappiness",
    "echo x >$R/sys/kernel/nonesuch",
    "echo x >$R/sys/kernel/notes",
    "echo maybe >$R/sys/kernel/mm/transparent_hugepage/enabled",
    "cat $R/sys/kernel/mm/ksm/sleep_millisecs >$R/sys/kernel/mm/ksm/sleep_millisecs",
    "echo much >$R/sys/kernel/mm/ksm/sleep_millisecs",
    "mkdir $R/proc/directory",
    "mkdir $R/sys/kernel/directory",
    "rm $R/proc/version",
    "chmod 777 $R/proc/$P/status",
    "mv $R/proc/version $R/proc/other",
    "ln -s x $R/sys/link",
    "touch $R/sys/file",
    "truncate -s 5 $R/proc/sys/vm/swappiness",
    "cat $R/proc/$P/mem | head -c 10",
    "cat $R/proc/$P/clear_refs",
    "cat $R/sys/kernel",
    "head -c 0 $R/proc/$P/attr/current",
  ];
  const here = await writes(host.tree, lines);
  const there = await writes(host.mountpoint, lines);
  expect(there.split("\n")).toEqual(here.split("\n"));
  expect(there).toContain("\n70000\n");
  expect(there).toContain("write error: Invalid argument");
});
