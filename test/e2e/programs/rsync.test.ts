import { afterAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { makeRichTree } from "../support/rich-tree.ts";
import { sh } from "../support/run.ts";
import { differences, readTree } from "../support/tree.ts";

const share = await mountTree();
afterAll(share.close);

// Without the window of -1, times that differ by less than a second pass for the same.
const RSYNC = "rsync -aHAX --numeric-ids --sparse --modify-window=-1";
const source = `${share.bare}/source`;
const inside = `${share.mountpoint}/inside`;
const back = `${share.bare}/back`;
mkdirSync(source);
await makeRichTree(source);
const expected = readTree(source);

test("copies into the mount, exactly", async () => {
  await sh(`${RSYNC} ${source}/ ${inside}/`);
  expect(differences(readTree(inside), expected)).toEqual([]);
  expect(differences(readTree(`${share.tree}/inside`), expected)).toEqual([]);
});

test("finds nothing to do the second time, by time or by checksum", async () => {
  expect(await sh(`${RSYNC} --itemize-changes ${source}/ ${inside}/`)).toBe("");
  expect(await sh(`${RSYNC} --checksum --itemize-changes ${source}/ ${inside}/`)).toBe("");
});

test("brings over a change and a deletion only", async () => {
  await sh("echo more >> plain/file7; rm plain/file8; mkdir plain/fresh", { cwd: source });
  const changes = await sh(`${RSYNC} --delete --itemize-changes ${source}/ ${inside}/`);
  const changed = changes
    .trim()
    .split("\n")
    .map((line) => line.slice(line.indexOf(" ")).trim());
  expect(changed.sort()).toEqual(["plain/", "plain/file7", "plain/file8", "plain/fresh/"]);
  expect(differences(readTree(inside), readTree(source))).toEqual([]);
});

test("copies back out, exactly", async () => {
  await sh(`${RSYNC} ${inside}/ ${back}/`);
  expect(differences(readTree(back), readTree(source))).toEqual([]);
});
