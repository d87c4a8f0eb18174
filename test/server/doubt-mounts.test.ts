/** Mounts whose server is killed: each is there once, and its answer is right. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { mounts } from "../../src/info/mountinfo.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { MNT_DETACH, umount2 } from "../../src/sys/mount.ts";
import { FsConfig, MountCall, MountFlag, UmountFlag } from "../../src/wire/constants.ts";
import { type Place, type Request, Rig } from "./doubtrig.ts";

let rig: Rig;

beforeAll(async () => {
  rig = new Rig("/dev/shm");
  for (const name of ["at", "source"]) mkdirSync(join(rig.share, name));
  await rig.attach();
});
const there = () => mounts().filter(({ mountpoint }) => mountpoint.startsWith(rig.share));
afterEach(() => {
  for (const { mountpoint } of there()) umount2(cstring(mountpoint), MNT_DETACH);
});
afterAll(() => rig.end());

const TMPFS: Request = ["MOUNT", [0, "", 1, "at", "x", "tmpfs", 0]];
const BIND: Request = ["MOUNT", [1, "source", 1, "at", "", "", MountFlag.BIND]];
const READ_ONLY: Request = [
  "MOUNT",
  [0, "", 1, "at", "", "", MountFlag.REMOUNT | MountFlag.BIND | MountFlag.RDONLY],
];
const UMOUNT: Request = ["UMOUNT", [1, "at", 0]];
const PLACES: Place[] = ["begun", "after a note", "before the answer is kept"];

test.each(PLACES.flatMap((place) => [TMPFS, BIND].map((request) => [place, request] as const)))(
  "killed %p, it is mounted once",
  async (place, request) => {
    expect(await rig.callKilled(request, place)).toBeUndefined();
    expect((await rig.repeat(request)).errno).toBe(0);
    expect(there()).toHaveLength(1);
    expect((await rig.repeat(request)).errno).toBe(0);
    expect(there()).toHaveLength(1);
  },
);

test.each(PLACES)("killed %p, it is unmounted once", async (place) => {
  expect((await rig.call(...TMPFS)).errno).toBe(0);
  expect((await rig.call(...TMPFS)).errno).toBe(0);
  expect(await rig.callKilled(UMOUNT, place)).toBeUndefined();
  expect((await rig.repeat(UMOUNT)).errno).toBe(0);
  expect(there()).toHaveLength(1);
});

const CALL = (call: number, object: number, at: string, text = ""): Request => [
  "MOUNT_CALL",
  [call, object, at === "" ? 0 : 1, at, 0, 0, 0, 0],
  Buffer.from(text),
];

async function detached(): Promise<number> {
  const given = async (request: Request) => (await rig.call(...request)).results[0] as number;
  const context = await given(CALL(MountCall.FSOPEN, 0, "", "tmpfs"));
  const create = CALL(MountCall.FSCONFIG, context, "");
  const args = create[1].with(4, FsConfig.CREATE);
  expect((await rig.call("MOUNT_CALL", args)).errno).toBe(0);
  return await given(CALL(MountCall.FSMOUNT, context, ""));
}

test.each(PLACES)(
  "killed %p, a mount that was made step by step is there once, or EBADF",
  async (place) => {
    const move = CALL(MountCall.MOVE_MOUNT, await detached(), "at");
    expect(await rig.callKilled(move, place)).toBeUndefined();
    // Until it is in its place it is the process's that died.
    const isThere = place === "before the answer is kept";
    expect((await rig.repeat(move)).errno).toBe(isThere ? 0 : E.EBADF);
    expect(there()).toHaveLength(isThere ? 1 : 0);
  },
);

test("who may connect and is not root may not mount", async () => {
  const client = rig.session.client as { uid: number };
  client.uid = 65534;
  for (const request of [TMPFS, UMOUNT, CALL(MountCall.FSOPEN, 0, "", "tmpfs")]) {
    expect((await rig.call(...request)).errno).toBe(E.EPERM);
  }
  client.uid = 0;
  expect(there()).toHaveLength(0);
});

test("an unmount by EXPIRE of which nobody knows is EIO", async () => {
  const expire: Request = ["UMOUNT", [1, "at", UmountFlag.EXPIRE]];
  expect((await rig.call(...TMPFS)).errno).toBe(0);
  expect((await rig.call(...expire)).errno).toBe(E.EAGAIN);
  expect(await rig.callKilled(expire, "before the answer is kept")).toBeUndefined();
  expect((await rig.repeat(expire)).errno).toBe(E.EIO);
  expect(there()).toHaveLength(0);
});

test("killed before it answers that a mount has changed, it changes it again", async () => {
  expect((await rig.call(...BIND)).errno).toBe(0);
  expect(await rig.callKilled(READ_ONLY, "before the answer is kept")).toBeUndefined();
  expect((await rig.repeat(READ_ONLY)).errno).toBe(0);
  expect(there()).toHaveLength(1);
});
