import { afterAll, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";
import { differences, readTree } from "../support/tree.ts";

const share = await mountTree();
afterAll(share.close);
const SOURCE = "/usr/include";

/** Runs `script` in the mount and in the tree itself: both must print the same. */
async function same(script: string): Promise<string> {
  const mounted = await sh(script, { cwd: share.mountpoint });
  expect(mounted).toBe(await sh(script, { cwd: share.tree }));
  return mounted;
}

test("cp -a copies a system's headers, exactly", async () => {
  await sh(`cp -a ${SOURCE} ${share.mountpoint}/include`);
  const expected = readTree(SOURCE);
  expect(expected.size).toBeGreaterThan(1000);
  expect(differences(readTree(`${share.mountpoint}/include`), expected)).toEqual([]);
}, 120_000);

test("find prints the same", async () => {
  const listed = await same(`find . -printf '%P %y %m %n %s %U:%G %T@ %C@ %l\\n' | sort`);
  expect(listed.split("\n").length).toBeGreaterThan(1000);
  await same("find . -name '*.h' -size +4k -newer include/stdio.h -perm -444 | sort");
  await same("find . -inum $(stat -c %i include/stdio.h)");
});

test("du and ls print the same", async () => {
  await same("du --all --block-size=1 . | sort -k2");
  await same("du --apparent-size --bytes --summarize .");
  await same("ls -lAR --full-time . | grep -v '^total'");
  await same("stat -c '%n %b %B %o %h %i' include/*.h");
});

test("grep -r and checksums are the same", async () => {
  const found = await same("grep -rc 'define' . | sort");
  expect(found).toMatch(/stdio\.h:[1-9]/);
  await same("find . -type f -print0 | sort -z | xargs -0 sha1sum");
  expect(await sh(`diff -r ${SOURCE} ${share.mountpoint}/include`)).toBe("");
});

test("ls and find name every one of 5000 entries, once", async () => {
  await sh("mkdir many && cd many && seq -f 'entry-%05g' 5000 | xargs touch", {
    cwd: share.mountpoint,
  });
  expect(await same("ls -U many | sort | uniq | wc -l")).toBe("5000\n");
  expect(await same("find many -type f | wc -l")).toBe("5000\n");
  await sh("rm -r many", { cwd: share.mountpoint });
  expect(await sh("ls", { cwd: share.tree })).toBe("include\n");
});
