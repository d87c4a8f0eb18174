/** Network namespaces that programs under a supervisor mount on a share. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import type { Program } from "../support/program.ts";
import { Stage } from "./stage.ts";

const BIND = 4096;
const DETACH = 2;

let stage: Stage;
/** A process of the HOST in a network namespace of its own, its number there, and its namespace. */
let container: Program;
let pid: number;
let network: string;
beforeAll(async () => {
  stage = await Stage.start();
  container = stage.host.spawn([
    "unshare",
    "--net",
    "sh",
    "-c",
    "readlink /proc/self/ns/net; echo $$; read -r word",
  ]);
  await container.prints(/\]\n\d+\n/);
  const [name = "", number] = container.stdout.split("\n");
  network = /\d+/.exec(name)?.[0] ?? "";
  pid = Number(number);
});
afterAll(async () => {
  container.closeStdin();
  await stage.close();
});

/** Number of the namespace that is mounted at a path of a machine's. */
const mounted = async (machine: "host" | "dpu", path: string) =>
  (await stage[machine].sh(`stat -c %i ${path}`)).trim();

test("that of a container on the HOST is mounted there, and an empty one here", async () => {
  const at = stage.directory();
  writeFileSync(`${at}/ns`, "");
  const printed = await stage.lines(`
    ${stage.program} mount /proc/${pid}/ns/net ${at}/ns - ${BIND} -
    nsenter --net=${at}/ns ip -o link | cut -d: -f2
    ip -o link | wc -l`);
  expect(printed.slice(0, 2)).toEqual(["0", " lo"]);
  expect(await mounted("host", `${at}/ns`)).toBe(network);
  const here = await mounted("dpu", `${at}/ns`);
  expect([network, (await stage.dpu.sh("stat -Lc %i /proc/self/ns/net")).trim()]).not.toContain(
    here,
  );
  expect(await stage.calls(`umount ${at}/ns ${DETACH}`, `umount ${at}/ns ${DETACH}`)).toEqual([
    "0",
    "EINVAL",
  ]);
  expect(await stage.onHost(at)).toEqual({});
  expect(await stage.dpu.sh(`grep -c ' ${at}' /proc/self/mountinfo || :`)).toBe("0\n");
  await stage.dpu.sh(`rm ${at}/ns`);
});

test("a namespace that a program makes here is one of the HOST's there", async () => {
  const at = stage.directory();
  for (const name of ["own", "initial"]) writeFileSync(`${at}/${name}`, "");
  const [initial, own] = await stage.lines(`
    stat -Lc %i /proc/self/ns/net
    mount --bind /proc/self/ns/net ${at}/initial
    unshare --net sh -c 'stat -Lc %i /proc/self/ns/net; exec mount --bind /proc/$$/ns/net ${at}/own'`);
  expect(await mounted("dpu", `${at}/own`)).toBe(own as string);
  expect(await mounted("dpu", `${at}/initial`)).toBe(initial as string);
  const hosts = (await stage.host.sh("stat -Lc %i /proc/self/ns/net")).trim();
  expect(await mounted("host", `${at}/initial`)).toBe(hosts);
  const there = await mounted("host", `${at}/own`);
  expect([hosts, own as string, network]).not.toContain(there);
  expect(await stage.host.sh(`nsenter --net=${at}/own ip -o link | wc -l`)).toBe("1\n");
  await stage.lines(`umount ${at}/own; umount ${at}/initial; echo`);
  expect(await stage.onHost(at)).toEqual({});
});

test("ip netns, its directory a share", async () => {
  const at = stage.directory();
  await stage.dpu.sh(`mkdir -p /run/netns && mount --bind ${at} /run/netns`);
  const printed = await stage.lines(`
    ip netns add blue
    ip netns exec blue ip link set lo up
    ip netns list`);
  expect(printed).toEqual(["blue"]);
  expect(await stage.host.sh(`nsenter --net=${at}/blue ip -o link`)).toContain("lo: <LOOPBACK> ");
  expect(await stage.lines("ip netns delete blue; ip netns list; echo none")).toEqual(["none"]);
  expect(await stage.onHost(at)).toEqual({});
  await stage.dpu.sh("umount /run/netns");
});

test("what cannot be entered here is refused", async () => {
  const at = stage.directory();
  writeFileSync(`${at}/file`, "");
  // A number that the DPU has not.
  const script =
    "echo 299999 >/proc/sys/kernel/ns_last_pid; sh -c 'echo $$; read -r word' <&3 & wait";
  const there = stage.host.spawn(["bash", "-c", `exec 3<&0; ${script}`]);
  await there.prints(/^\d+\n/);
  const number = Number(there.stdout.trim());
  const words = stage.under([stage.program, "setns_of", `${number}`], "warn");
  const { stdout, stderr } = await stage.dpu.run(words);
  expect(stdout).toBe("EOPNOTSUPP\n");
  expect(stderr).toMatch(new RegExp(`setns of \\d+: process ${number} is the HOST's`));
  there.closeStdin();
  expect(await stage.calls(`setns ${at}/file`, "setns /proc/self/ns/net", "setns_of 1")).toEqual([
    "EOPNOTSUPP",
    "0",
    "0",
  ]);
});

test("a process that neither machine has", async () => {
  const at = stage.directory();
  writeFileSync(`${at}/ns`, "");
  expect(await stage.calls(`mount /proc/4194303/ns/net ${at}/ns - ${BIND} -`)).toEqual(["ENOENT"]);
  expect(await stage.onHost(at)).toEqual({});
});
