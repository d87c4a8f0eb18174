import { afterAll, expect, test } from "bun:test";
import { mountTree } from "../support/mount.ts";
import { sh } from "../support/run.ts";

const share = await mountTree();
afterAll(share.close);

const env = {
  HOME: share.bare,
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "A",
  GIT_AUTHOR_EMAIL: "a@example.org",
  GIT_COMMITTER_NAME: "A",
  GIT_COMMITTER_EMAIL: "a@example.org",
};
const repository = `${share.mountpoint}/clone`;
const inRepository = { cwd: repository, env };

test("clones a repository of 1000 files", async () => {
  await sh(
    `git init -q -b main origin && cd origin
     for d in $(seq 20); do mkdir dir$d; for f in $(seq 50); do seq $d $((d + f)) > dir$d/file$f; done; done
     chmod +x dir1/file1 && ln -s ../dir1/file1 dir2/link
     git add . && git commit -qm first`,
    { cwd: share.bare, env },
  );
  await sh(`git clone -q file://${share.bare}/origin ${repository}`, { env });
  expect(await sh("git status --porcelain", inRepository)).toBe("");
  expect(await sh("git ls-files | wc -l", inRepository)).toBe("1001\n");
  expect(await sh("test -x dir1/file1 && readlink dir2/link", inRepository)).toBe(
    "../dir1/file1\n",
  );
});

test("commits, branches, merges and rebases", async () => {
  await sh(
    `git switch -qc side
     for f in $(seq 50); do echo side >> dir3/file$f; done
     git rm -qr dir4 && git mv dir5 dir5-moved
     git commit -qam side
     git switch -q main
     for f in $(seq 50); do echo main >> dir6/file$f; done
     git commit -qam main
     git merge -q --no-edit side
     git switch -qc late HEAD~1 && echo late > late && git add late && git commit -qm late
     git rebase -q main`,
    inRepository,
  );
  expect(await sh("git log --format=%s", inRepository)).toBe(
    "late\nMerge branch 'side'\nmain\nside\nfirst\n",
  );
  expect(await sh("git status --porcelain --ignored", inRepository)).toBe("");
  expect(await sh("git ls-files | wc -l", inRepository)).toBe("952\n");
});

test("stashes, cleans and checks out again", async () => {
  await sh(
    `echo change >> dir7/file7 && echo new > untracked
     git stash push -qu && test ! -e untracked
     git stash pop -q && grep -q change dir7/file7 && rm untracked
     git restore . && git clean -qfdx
     git worktree add -q ../worktree HEAD~1 && git worktree remove ../worktree`,
    inRepository,
  );
  expect(await sh("git status --porcelain --ignored", inRepository)).toBe("");
});

test("packs, checks and stays clean, seen from both sides", async () => {
  await sh("git gc -q --prune=now && git fsck --strict --full", inRepository);
  expect(await sh("git count-objects", inRepository)).toStartWith("0 objects");
  expect(await sh("git status --porcelain", inRepository)).toBe("");
  const onHost = { cwd: `${share.tree}/clone`, env };
  expect(await sh("git status --porcelain && git fsck --strict --full", onHost)).toBe("");
});
