/** Devices whose server is killed: what was opened is ESTALE, and can be opened again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { E } from "../../src/sys/errno.ts";
import { OpenFlag } from "../../src/wire/constants.ts";
import { type Place, type Request, Rig } from "./doubtrig.ts";

let rig: Rig;

beforeAll(async () => {
  rig = new Rig("/dev/shm");
  Bun.spawnSync(["mknod", join(rig.share, "null"), "c", "1", "3"]);
  await rig.attach();
});
afterAll(() => rig.end());

const PLACES: Place[] = ["begun", "before the answer is kept"];

test.each(PLACES)(
  "killed %p, a WRITE is ESTALE, and so is the handle from then on",
  async (place) => {
    const handle = await rig.open("null", OpenFlag.WRITE);
    const write: Request = ["WRITE", [handle, 0, 0, 0], Buffer.from("x")];
    expect(await rig.callKilled(write, place)).toBeUndefined();
    expect((await rig.repeat(write)).errno).toBe(E.ESTALE);
    expect((await rig.call(...write)).errno).toBe(E.ESTALE);
    const another = await rig.open("null", OpenFlag.WRITE);
    expect((await rig.call("WRITE", [another, 0, 0, 0], Buffer.from("x"))).results).toEqual([1]);
  },
);

test.each(PLACES)("killed %p, an OPEN gives one handle", async (place) => {
  const open: Request = ["OPEN", [await rig.lookup("null"), OpenFlag.READ, 0]];
  const before = rig.tree.handles.count;
  expect(await rig.callKilled(open, place)).toBeUndefined();
  expect((await rig.repeat(open)).errno).toBe(0);
  expect(rig.tree.handles.count).toBe(before + 1);
});
