/** Sockets on mounts of the HOST below a mount: each is a superblock of its own, with inodes of its own. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";
import { answered, compileMeet, Meeting, said, until } from "./stage.ts";

const share = await mountTree();
const { bare, mountpoint, tree } = share;
const meet = await compileMeet(bare);
chmodSync(bare, 0o755);

const serving: Meeting[] = [];
afterAll(async () => {
  for (const one of serving) await one.end();
  await sh(`umount -l ${tree}/below 2>/dev/null || true`);
  await share.close();
});

async function serve(path: string): Promise<Meeting> {
  const one = await Meeting.up([meet, "serve", path, "stream"]);
  serving.push(one);
  return one;
}

test("they are served on both sides, until the HOST unmounts", async () => {
  mkdirSync(`${tree}/below`);
  await sh(`mount -t tmpfs tmpfs ${tree}/below && mkdir ${tree}/below/deeper`);
  const isMounted = () => statSync(`${mountpoint}/below`).dev !== statSync(mountpoint).dev;
  await until(isMounted, "the HOST's mount is here");
  const above = await serve(`${tree}/above`);
  const one = await serve(`${tree}/below/one`);
  await serve(`${tree}/below/deeper/two`);
  const call = (path: string) => said([meet, "call", path, "stream"]);
  for (const path of ["above", "below/one", "below/deeper/two"]) {
    expect(await call(`${mountpoint}/${path}`)).toBe(answered(`${tree}/${path}`));
  }
  const own = await serve(`${mountpoint}/below/deeper/own`);
  expect(await call(`${tree}/below/deeper/own`)).toContain("heard bye");
  await own.end();
  await until(
    async () => (await call(`${tree}/below/deeper/own`)) === "connect: ECONNREFUSED\n",
    "the end of a listener is noticed",
  );
  const holding = await Meeting.up([meet, "hold", `${mountpoint}/below/one`, "1000000000000"]);
  serving.push(holding);
  await one.end();
  for (const listener of serving.slice(2, 3)) await listener.end();
  await sh(`umount ${tree}/below`);
  await until(() => !isMounted(), "the HOST's mount is gone here, too");
  expect(await holding.line()).not.toBe("up");
  expect(await call(`${mountpoint}/below/one`)).toBe("connect: ENOENT\n");
  expect(await call(`${mountpoint}/above`)).toContain("heard bye");
  await above.end();
});
