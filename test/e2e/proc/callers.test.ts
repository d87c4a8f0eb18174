/** -o proc for callers outside of the chroot or the PID namespace, and mounts that are of no use. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { QTFS } from "../support/server.ts";
import { ProcStage } from "./stage.ts";

let stage: ProcStage;

beforeAll(async () => {
  stage = await ProcStage.start();
});
afterAll(async () => {
  await stage.close();
});

test("a caller outside the chroot is itself, and sees the HOST's processes alone", async () => {
  const { stdout } = await stage.outside("echo $$; readlink $1/self; cat $1/self/comm; ls $1");
  const [pid, self, name, ...names] = stdout.split("\n");
  expect(self).not.toBe(pid as string);
  expect(name).toBe("cat");
  const numbers = names.filter((one) => /^\d+$/.test(one));
  expect(numbers).toContain(String(stage.marker));
  // Its own number, ls's, is the only one that is not the HOST's.
  const host = (await stage.onHost("ls /proc")).split("\n");
  expect(numbers.filter((number) => !host.includes(number)).length).toBe(1);
});

test("a caller in a PID namespace below the mount's is itself, by whichever number", async () => {
  const look = "grep ^NSpid: /proc/self/status; cat /proc/self/comm /proc/thread-self/comm";
  const below = "unshare --pid --fork --mount --propagation unchanged --mount-proc=/local_proc";
  const [numbers, ...names] = await stage.lines(`${below} bash -c '${look}'`);
  // One number: the procfs that shows it is the namespace's own.
  expect(numbers?.trim().split(/\s+/)).toHaveLength(2);
  expect(names).toEqual(["cat", "cat"]);
});

test("what would be of no use is not mounted", async () => {
  const mount = `timeout 30 ${QTFS} mount -o proc,server=unix://${stage.directory}/server.sock`;
  const own = await stage.outside(`${mount} /proc /proc`);
  expect(own.code).toBe(1);
  expect(own.stderr).toContain("Cannot mount at /proc: qtfs itself needs this machine's /proc");
  const other = await stage.outside(`${mount} ${stage.directory}/share ${stage.root}/run`);
  expect(other.code).toBe(1);
  expect(other.stderr).toContain("share: it is not the HOST's /proc");
});

test("a chroot without this machine's procfs is warned of", async () => {
  const bare = `${stage.directory}/bare`;
  const { code, stderr } = await stage.outside(`mkdir -p ${bare}/proc
    ${QTFS} mount -o proc,server=unix://${stage.directory}/server.sock /proc ${bare}/proc
    code=$?; umount ${bare}/proc; exit $code`);
  expect([code, stderr]).toEqual([
    0,
    expect.stringContaining(`mount -t proc proc ${bare}/local_proc`),
  ]);
});
