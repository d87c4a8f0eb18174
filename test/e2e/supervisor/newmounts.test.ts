/** The mount API of fsopen(2) for programs under a supervisor. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Stage } from "./stage.ts";

const TMPFS = "1021994";
const CLONE = 1;
const [RDONLY, RECURSIVE] = [1, 0x8000];
const BIND = 4096;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage.close());

test("mounts that would be made nowhere are not: programs use mount(2)", async () => {
  const at = stage.directory("a");
  await stage.dpu.sh("mkdir -p /run/own");
  const printed = await stage.calls(
    "fsopen tmpfs",
    `fspick ${at}/a`,
    `open_tree ${at}/a ${CLONE}`,
    // What is this machine's whatever happens.
    `open_tree ${at}/a 0`,
    "fsopen fuse",
    "open_tree /run/own 0",
    `open_tree /run ${CLONE}`,
    "private fsopen tmpfs",
    "user 65534 fsopen tmpfs",
    "fsopen nosuchtype",
  );
  const here = ["3", "3", "3", "3", "3", "EPERM"];
  expect(printed).toEqual(["ENOSYS", "ENOSYS", "ENOSYS", ...here, "ENOSYS"]);
});

test("what is mounted on a share moves, and changes, on the HOST", async () => {
  const at = stage.directory("a", "b");
  const printed = await stage.calls(
    `mount none ${at}/a tmpfs 0 -`,
    `move_mount ${at}/a ${at}/b`,
    `statfs ${at}/b`,
    `mount_setattr ${at}/b ${RDONLY} 0 ${RECURSIVE}`,
    `mount_setattr ${at}/a ${RDONLY} 0 0`,
    `move_mount ${at}/a ${at}/b`,
  );
  expect(printed).toEqual(["0", "0", TMPFS, "0", "EINVAL", "EINVAL"]);
  expect(await stage.onHost(at)).toEqual({ b: "tmpfs" });
  expect(await stage.host.sh(`findmnt -no VFS-OPTIONS ${at}/b`)).toMatch(/^ro,/);
  await stage.calls(`umount ${at}/b 0`);
});

test("this machine's mounts are this machine's, on a share too", async () => {
  const at = stage.directory("a", "b");
  await stage.dpu.sh("mkdir -p /run/from /run/to");
  const printed = await stage.calls(
    "mount none /run/from tmpfs 0 -",
    "attach /run/from /run/to",
    `attach /run/from ${at}/a`,
    `statfs ${at}/a`,
    `mount_setattr /run/to ${RDONLY} 0 0`,
    `mount ${at} /run/to - ${BIND} -`,
    `mount_setattr /run/to ${RDONLY} 0 0`,
    `umount ${at}/a 0`,
    "umount /run/to 0",
    "umount /run/to 0",
    "umount /run/from 0",
  );
  expect(printed).toEqual(["0", "0", "0", TMPFS, "0", "0", "0", "0", "0", "0", "0"]);
  expect(await stage.onHost(at)).toEqual({});
});
