import { afterAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { makeRichTree } from "../support/rich-tree.ts";
import { sh } from "../support/run.ts";
import { differences, readTree } from "../support/tree.ts";

const share = await mountTree();
afterAll(share.close);

const TAR = "tar --format=posix --numeric-owner --xattrs --xattrs-include=* --acls --sparse";
const source = `${share.bare}/source`;
const inside = `${share.mountpoint}/inside`;
const back = `${share.bare}/back`;
for (const directory of [source, inside, back]) mkdirSync(directory);
await makeRichTree(source);
const expected = readTree(source);

const copy = (from: string, to: string) =>
  sh(`${TAR} -C ${from} -cf - . | ${TAR} -C ${to} --same-permissions --same-owner -xf -`);

test("unpacks into the mount, exactly", async () => {
  await copy(source, inside);
  expect(differences(readTree(inside), expected)).toEqual([]);
  expect(differences(readTree(`${share.tree}/inside`), expected)).toEqual([]);
});

test("keeps holes as holes", async () => {
  const holes = ["special/all-hole", "special/islands"];
  for (const file of holes) {
    const usage = `du --block-size=1 ${file} | cut -f1`;
    expect(await sh(usage, { cwd: inside })).toBe(await sh(usage, { cwd: source }));
  }
});

test("packs from the mount, exactly", async () => {
  await copy(inside, back);
  expect(differences(readTree(back), expected)).toEqual([]);
});

test("finds no difference when it compares", async () => {
  await sh(`${TAR} -C ${source} -cf all.tar .`, { cwd: share.bare });
  expect(await sh(`${TAR} -C ${inside} --compare -f all.tar`, { cwd: share.bare })).toBe("");
});
