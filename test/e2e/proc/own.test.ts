/** -o proc in the chroot of the seed's guide: what is the caller's own, and what is the HOST's. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync } from "node:fs";
import { eventually } from "../mounts/caller.ts";
import { sh } from "../support/run.ts";
import { ProcStage } from "./stage.ts";

const BOUND_MS = 60_000;
const NOBODY = 65534;
let stage: ProcStage;

beforeAll(async () => {
  stage = await ProcStage.start();
});
afterAll(async () => {
  await stage.close();
});

test("self and thread-self are whoever reads them", async () => {
  for (const round of [1, 2, 3]) {
    const [pid, self] = await stage.lines("echo $$; exec readlink /proc/self");
    expect([round, self]).toEqual([round, pid as string]);
  }
  const [pid, thread] = await stage.lines("echo $$; exec readlink /proc/thread-self");
  expect(thread).toBe(`${pid}/task/${pid}`);
  expect(await stage.lines("ls -ld /proc/self | cut -c1")).toEqual(["l"]);
});

test("exe, fd, ns, cgroup and mountinfo are the caller's", async () => {
  expect(await stage.lines("readlink /proc/self/exe")).toEqual(["/usr/bin/readlink"]);
  expect(await stage.lines("realpath /proc/self/exe")).toEqual(["/usr/bin/realpath"]);
  const listing = await stage.lines("ls -l /proc/self/fd </etc/passwd");
  expect(listing.some((line) => line.endsWith(" 0 -> /etc/passwd"))).toBe(true);
  const namespaces = await stage.lines("readlink /proc/self/ns/pid /proc/1/ns/pid");
  expect(namespaces[0]).toBe(readlinkSync("/proc/self/ns/pid"));
  expect(namespaces[1]).not.toBe(namespaces[0]);
  const same = "for f in mountinfo cgroup mounts; do cmp /proc/self/$f /local_proc/self/$f; done";
  expect(await stage.lines(same)).toEqual([]);
  const mounts = await stage.lines("cut -d' ' -f2,3 /proc/mounts");
  expect(mounts).toContain("/proc fuse.qtfs");
});

test("a descriptor is opened anew by its number in /proc/self/fd", async () => {
  const script = "exec 9>/tmp/out; echo one >/proc/self/fd/9; echo two >&9; cat /tmp/out /dev/fd/3";
  expect(await stage.lines(`${script} 3<<<three`)).toEqual(["two", "three"]);
});

test("a namespace of one's own is bound to a file, and entered through it", async () => {
  const script = `
    touch /tmp/net
    mount --bind /proc/self/ns/net /tmp/net
    trap 'umount /tmp/net' EXIT
    stat -c %i /tmp/net; stat -Lc %i /proc/self/ns/net
    nsenter --net=/tmp/net --uts=/proc/$$/task/$$/ns/uts cat /proc/self/comm`;
  const [bound, own, name] = await stage.lines(script);
  expect(bound).toBe(own as string);
  expect(name).toBe("cat");
});

test("what is written changes this machine's process", async () => {
  const script =
    "echo 500 >/proc/self/oom_score_adj; cat /local_proc/$$/oom_score_adj; exec sleep inf";
  const child = Bun.spawn(stage.commandInside(script), { stdout: "ignore", stderr: "ignore" });
  try {
    const adjusted = () => readFileSync(`/proc/${child.pid}/oom_score_adj`, "latin1") === "500\n";
    await eventually(adjusted, "the process can be killed first", BOUND_MS);
    // By its number, too, from another process of the chroot.
    await stage.lines(`echo 600 >/proc/${child.pid}/oom_score_adj`);
    expect(readFileSync(`/proc/${child.pid}/oom_score_adj`, "latin1")).toBe("600\n");
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

test("a thread finds itself, and its program runs itself again", async () => {
  const source = `${import.meta.dir}/threads.c`;
  const program = `${stage.root}/tmp/threads`;
  await sh(`cc -std=gnu11 -O1 -Wall -Wextra -Werror -pthread -o ${program} ${source}`);
  const [thread, link, name, pid, again] = await stage.lines("/tmp/threads");
  expect(link).toBe(thread as string);
  expect(name).toBe("a-thread");
  expect(again).toBe(`again as ${pid}`);
});

test("ps and top show the HOST's processes, and those of the chroot", async () => {
  const marker = String(stage.marker);
  const ps = await stage.lines("ps -ef");
  const fields = ps.map((line) => line.trim().split(/\s+/));
  expect(fields.find(([, pid]) => pid === marker)?.slice(7)).toEqual(["host-marker", "inf"]);
  expect(fields.some(([, , , , , , , command]) => command === "ps")).toBe(true);
  expect(fields.some(([, pid]) => pid === String(process.pid))).toBe(false);
  const top = await stage.lines("top -b -n1 -w200");
  expect(top.some((line) => line.trim().startsWith(`${marker} `))).toBe(true);
  expect(top.some((line) => line.trim().endsWith(" top"))).toBe(true);
});

test("the caller's child is there by number, once in the listing, and leads to what it is", async () => {
  const script = `
    sleep inf & child=$!
    trap 'kill $child' EXIT
    ls /proc | grep -c "^$child$"
    ls /proc/$child/ | grep -c '^status$'
    grep ^Pid: /proc/$child/status | cut -f2
    cat /proc/$child/task/$child/comm
    readlink /proc/$child
    echo $child`;
  const [count, status, pid, name, link, child] = await stage.lines(script);
  expect([count, status, name]).toEqual(["1", "1", "sleep"]);
  expect(pid).toBe(child as string);
  expect(link).toBe(`/local_proc/${child}`);
});

test("of one number on both machines the caller sees its own, and others the HOST's", async () => {
  const child = Bun.spawn(stage.commandInside("exec -a here sleep inf"), { stdout: "ignore" });
  try {
    const there = `echo $((${child.pid} - 1)) >/proc/sys/kernel/ns_last_pid
      bash -c 'echo $$; exec -a there sleep inf' >${stage.directory}/there 2>&1 &
      until grep -q ^there /proc/${child.pid}/cmdline; do sleep 0.05; done`;
    await stage.onHost(there);
    const isThere = () => readFileSync(`/proc/${child.pid}/cmdline`, "latin1").startsWith("here");
    await eventually(isThere, "the process is what it shall be", BOUND_MS);
    expect(readFileSync(`${stage.directory}/there`, "latin1")).toBe(`${child.pid}\n`);
    const named = `cat /proc/${child.pid}/cmdline | tr '\\0' ' '; echo`;
    expect(await stage.lines(named)).toEqual(["here inf "]);
    expect(await stage.lines(`ls /proc | grep -c '^${child.pid}$'`)).toEqual(["1"]);
    const outside = await stage.outside(`tr '\\0' ' ' <$1/${child.pid}/cmdline`);
    expect(outside.stdout).toBe("there inf ");
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
});

test("everything else is the HOST's", async () => {
  const { marker } = stage;
  expect(await stage.lines(`cat /proc/sys/kernel/hostname`)).toEqual(["the-host"]);
  expect(await stage.lines(`tr '\\0' ' ' </proc/${marker}/cmdline; echo`)).toEqual([
    "host-marker inf ",
  ]);
  expect(await stage.lines("cat /proc/1/comm")).toEqual(["bash"]);
  const refused = await stage.inside("cat /proc/3999999/comm");
  expect(refused.stderr).toContain("No such file or directory");
});

test("an ordinary user sees what is its own, and nothing that is not", async () => {
  const listing = await stage.lines("ls -l /proc/self/fd </etc/passwd", NOBODY);
  expect(listing.some((line) => line.endsWith(" 0 -> /etc/passwd"))).toBe(true);
  expect(await stage.lines("readlink /proc/self/exe", NOBODY)).toEqual(["/usr/bin/readlink"]);
  const others = await stage.inside(`ls /proc/${stage.marker}/fd`, NOBODY);
  expect(others.stderr).toContain("Permission denied");
});

test("the death of the mount's process takes nothing from those that have its files open", async () => {
  const script = `
    exec 8</proc/self/status 9</proc/loadavg
    echo ready; read -r
    cat <&8 | grep -c ^Pid:; cat <&9 | wc -w
    [ "$(readlink /proc/self/exe)" = /usr/bin/readlink ]; cat /proc/$$/comm; true`;
  const child = Bun.spawn(stage.commandInside(script), { stdin: "pipe", stdout: "pipe" });
  const daemon = await stage.daemon();
  const reader = child.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("ready\n");
  process.kill(daemon, "SIGKILL");
  child.stdin.write("\n");
  child.stdin.end();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    rest += new TextDecoder().decode(part.value);
  }
  expect(rest.split("\n")).toEqual(["1", "5", "bash", ""]);
  expect(await stage.daemon()).not.toBe(daemon);
  expect(existsSync(`${stage.root}/local_proc/self`)).toBe(false);
});
