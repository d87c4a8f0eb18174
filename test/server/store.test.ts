/** Records of sessions in a directory that servers share. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { SessionRecord } from "../../src/server/record/record.ts";
import { RecordStore } from "../../src/server/record/store.ts";

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

function place(server: string, directory = mkdtempSync(`${tmpdir()}/qtfs-store-`)) {
  if (!directories.includes(directory)) directories.push(directory);
  return { directory, server };
}

test("a server knows its own records, and finds any by the session's key", () => {
  const ours = place("unix:///one");
  const theirs = place("unix:///other", ours.directory);
  new RecordStore(ours).create("0:ours").close();
  new RecordStore(theirs).create("0:theirs").close();
  expect(readdirSync(ours.directory).length).toBe(2);
  expect(RecordStore.ownNames(ours).length).toBe(1);
  expect(RecordStore.ownNames(ours)).not.toEqual(RecordStore.ownNames(theirs));
  const found = new RecordStore(ours).find("0:theirs");
  expect(found?.lives).toBe(1);
  found?.close();
  expect(new RecordStore(ours).find("0:nobody's")).toBeUndefined();
});

test("what no server comes back to is marked first, and removed when that was long ago", () => {
  const { directory, server } = place("unix:///one");
  const store = new RecordStore({ directory, server });
  const inUse = store.create("0:in use");
  store.create("0:left").close();
  const count = () => readdirSync(directory).length;
  RecordStore.sweep(directory);
  RecordStore.sweep(directory);
  expect(count()).toBe(2);
  const again = store.find("0:left") as SessionRecord;
  again.close();
  RecordStore.sweep(directory, 0);
  expect(count()).toBe(2);
  RecordStore.sweep(directory, 0);
  expect(count()).toBe(1);
  inUse.close();
});

test("without a directory sessions end with the process", () => {
  const store = new RecordStore({ directory: undefined, server: "x" });
  store.create("0:a").close();
  expect(store.find("0:a")).toBeUndefined();
  expect(RecordStore.ownNames({ directory: undefined, server: "x" })).toEqual([]);
});
