/** Files belong to whoever makes them, and only those may who may on the HOST. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, statSync } from "node:fs";
import { mountTree } from "../support/mount.ts";
import { run } from "../support/run.ts";

const UID = 4001;
const GID = 4002;
const SUPPLEMENTARY = 4003;
const FOREIGN = 4004;

const share = await mountTree();
afterAll(share.close);
let serial = 0;
let name = "";

/** Each test has a directory of the user's, by its name in both trees. */
beforeEach(() => {
  name = `user${serial++}`;
  mkdirSync(`${share.tree}/${name}`);
  chownSync(`${share.tree}/${name}`, UID, GID);
});

/** Runs a script in the test's directory as the user, with the supplementary group. */
async function asUser(script: string): Promise<{ code: number; stderr: string }> {
  const who = ["--reuid", `${UID}`, "--regid", `${GID}`, "--groups", `${SUPPLEMENTARY}`];
  const cwd = `${share.mountpoint}/${name}`;
  return await run(["setpriv", ...who, "bash", "-ec", script], { cwd });
}

/** Owner, group and mode on the HOST. */
function owners(file: string): [uid: number, gid: number, mode: string] {
  const { uid, gid, mode } = statSync(`${share.tree}/${name}/${file}`);
  return [uid, gid, (mode & 0o7777).toString(8)];
}

test("files, directories, symlinks and FIFOs are the caller's, less the umask", async () => {
  expect((await asUser("umask 027; touch f; mkdir d; ln -s f l; mkfifo p")).code).toBe(0);
  expect(owners("f")).toEqual([UID, GID, "640"]);
  expect(owners("d")).toEqual([UID, GID, "750"]);
  expect(owners("l")).toEqual([UID, GID, "640"]);
  expect(owners("p")).toEqual([UID, GID, "640"]);
  expect((await asUser("umask 0; touch open; mkdir wide")).code).toBe(0);
  expect(owners("open")).toEqual([UID, GID, "666"]);
  expect(owners("wide")).toEqual([UID, GID, "777"]);
});

test("a directory with setgid gives its group, and subdirectories the bit", async () => {
  const path = `${share.tree}/${name}`;
  chownSync(path, UID, SUPPLEMENTARY);
  chmodSync(path, 0o2775);
  expect((await asUser("umask 022; touch f; mkdir d; mkdir -m 700 e; touch d/g")).code).toBe(0);
  expect(owners("f")).toEqual([UID, SUPPLEMENTARY, "644"]);
  expect(owners("d")).toEqual([UID, SUPPLEMENTARY, "2755"]);
  expect(owners("e")).toEqual([UID, SUPPLEMENTARY, "2700"]);
  expect(owners("d/g")).toEqual([UID, SUPPLEMENTARY, "644"]);
});

test("the supplementary group opens what is the group's, another does not", async () => {
  const path = `${share.tree}/${name}`;
  for (const [file, group] of [
    ["ours", SUPPLEMENTARY],
    ["theirs", FOREIGN],
  ] as const) {
    mkdirSync(`${path}/${file}`);
    chownSync(`${path}/${file}`, 0, group);
    chmodSync(`${path}/${file}`, 0o770);
  }
  expect((await asUser("touch ours/f")).code).toBe(0);
  expect(owners("ours/f").slice(0, 2)).toEqual([UID, GID]);
  expect((await asUser("touch theirs/f")).stderr).toContain("Permission denied");
  expect((await asUser("ls theirs")).stderr).toContain("Permission denied");
});

test("files may be given to a group of one's own, to no other and to nobody else", async () => {
  expect((await asUser(`touch f; chgrp ${SUPPLEMENTARY} f`)).code).toBe(0);
  expect(owners("f").slice(0, 2)).toEqual([UID, SUPPLEMENTARY]);
  expect((await asUser(`chgrp ${FOREIGN} f`)).stderr).toContain("Operation not permitted");
  expect((await asUser(`chown ${FOREIGN} f`)).stderr).toContain("Operation not permitted");
  expect(owners("f").slice(0, 2)).toEqual([UID, SUPPLEMENTARY]);
});

test("a sticky directory keeps others' files", async () => {
  const path = `${share.tree}/${name}`;
  chownSync(path, 0, 0);
  chmodSync(path, 0o1777);
  mkdirSync(`${path}/roots`);
  expect((await asUser("rmdir roots")).stderr).toContain("Operation not permitted");
  expect((await asUser("touch own; rm own")).code).toBe(0);
});
