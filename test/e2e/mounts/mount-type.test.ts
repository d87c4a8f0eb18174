/** `mount -t qtfs`: mount(8) runs /sbin/mount.qtfs, from the command line and from an fstab. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { run } from "../support/run.ts";
import { QTFS } from "../support/server.ts";
import { mountsAt, World, type WorldServer } from "./world.ts";

const HELPER = "/sbin/mount.qtfs";

const world = new World();
const tree = world.make("host");
let server: WorldServer;
/** Where the machine's own helper points to, if it has one. */
let before: string | undefined;

beforeAll(async () => {
  before = lstatSync(HELPER, { throwIfNoEntry: false }) && readlinkSync(HELPER);
  rmSync(HELPER, { force: true });
  symlinkSync(QTFS, HELPER);
  writeFileSync(`${tree}/file`, "data");
  server = await world.server([tree]);
});

afterAll(async () => {
  rmSync(HELPER, { force: true });
  if (before !== undefined) symlinkSync(before, HELPER);
  await world.close();
});

async function ends(target: string): Promise<void> {
  const pid = await world.mountPid(target);
  expect(await world.umount(target)).toBe(0);
  await world.vanished({ pid, target });
}

test("mount -t qtfs, with its own options and mount(8)'s", async () => {
  const target = world.make("typed");
  const options = `server=${server.address},ro,noexec,noatime,_netdev,cache=never,timeout=5`;
  const { code, stderr } = await run(["mount", "-t", "qtfs", "-o", options, tree, target]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(readFileSync(`${target}/file`, "utf8")).toBe("data");
  const [line = ""] = mountsAt(target);
  expect(line).toContain(" - fuse.qtfs ");
  for (const flag of ["ro", "noexec", "noatime", "nosuid", "nodev"]) {
    expect(line.split(" ")[5]?.split(",")).toContain(flag);
  }
  await ends(target);
});

test("a line of an fstab, by its mountpoint", async () => {
  const target = world.make("with space");
  const fstab = `${world.directory}/fstab`;
  const options = `defaults,noauto,nofail,_netdev,x-systemd.automount,server=${server.address}`;
  writeFileSync(fstab, `${tree} ${target.replace(" ", "\\040")} qtfs ${options} 0 0\n`);
  const { code, stderr } = await run(["mount", "--fstab", fstab, target]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  writeFileSync(`${target}/made`, "here");
  expect(readFileSync(`${tree}/made`, "utf8")).toBe("here");
  const pid = await world.mountPid(target);
  expect((await run(["umount", target])).code).toBe(0);
  await world.vanished({ pid, target: target.replace(" ", "\\040") });
});

test("what it cannot do it says, with mount(8)'s exit codes", async () => {
  const target = world.make("refused");
  const mount = (source: string, options: string) =>
    run(["mount", "-t", "qtfs", "-o", options, source, target]);
  const unknown = await mount(tree, `server=${server.address},cahce=never`);
  expect(unknown.stderr).toContain("unknown mount option cahce");
  expect(unknown.code).toBe(1);
  const notExported = await mount("/etc", `server=${server.address}`);
  expect(notExported.stderr).toContain("does not export");
  expect(notExported.code).toBe(32);
  const nobody = await mount(tree, `server=unix://${world.directory}/nobody.sock`);
  expect(nobody.stderr).toContain("No server listens");
  expect(nobody.code).toBe(32);
  const sloppy = await run([
    "mount",
    "-s",
    "-t",
    "qtfs",
    "-o",
    `server=${server.address},cahce=x`,
    tree,
    target,
  ]);
  expect(sloppy.code).toBe(0);
  expect(existsSync(`${target}/file`)).toBe(true);
  await ends(target);
});
