/**
 * The tree that every contestant serves, made once and copied for each:
 *
 *   small/   200 files of 4 KiB      many/   10,000 empty files
 *   big_N    a big file per thread   work/   where loads create
 *   repo/    a git repository        repo_N  a quarter of it per thread
 */
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { run } from "./processes.ts";

export const THREADS = [1, 4] as const;
export const SMALL_FILES = 200;
export const SMALL_BYTES = 4096;
export const BIG_BYTES = 32 << 20;
const MANY_FILES = 10_000;
const FILES_PER_FOLDER = 50;

export const smallName = (index: number) => `f${index}`;
export const bigName = (thread: number) => `big_${thread}`;
/** The repository, or the tar archive, of one of `threads` parallel users. */
export const partName = (kind: string, threads: number, thread: number) =>
  threads === 1 ? kind : `${kind}_${thread}`;

/** What git needs to run the same everywhere, without the user's own settings. */
export const GIT_ENV = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_COUNT: "1",
  GIT_CONFIG_KEY_0: "safe.directory",
  GIT_CONFIG_VALUE_0: "*",
};

function makeSources(directory: string, files: number): void {
  const line = "The quick brown fox jumps over the lazy dog, again and again. \n";
  for (let i = 0; i < files; i++) {
    const folder = `${directory}/folder_${Math.floor(i / FILES_PER_FOLDER)}`;
    mkdirSync(folder, { recursive: true });
    writeFileSync(`${folder}/source_${i}.txt`, `${i}\n${line.repeat(1 + (i % 100))}`);
  }
}

async function makeRepository(directory: string, files: number): Promise<void> {
  const git = ["git", "-C", directory, "-c", "user.name=bench", "-c", "user.email=bench@qtfs"];
  makeSources(directory, files);
  const options = { env: GIT_ENV, timeoutMs: 60_000 };
  await run(["git", "init", "-q", directory], options);
  await run([...git, "add", "."], options);
  await run([...git, "commit", "-q", "-m", "All"], options);
}

function makeBigFile(path: string): void {
  const block = Buffer.alloc(1 << 20);
  const fd = openSync(path, "w");
  for (let written = 0; written < BIG_BYTES; written += block.length) {
    crypto.getRandomValues(block.subarray(0, 65_536));
    writeSync(fd, block);
  }
  closeSync(fd);
}

/** Makes the tree in `directory`; `files` is the size of the repository and the archives. */
export async function makeTemplate(directory: string, files: number): Promise<void> {
  for (const name of ["small", "many", "work"]) mkdirSync(`${directory}/${name}`);
  for (let i = 0; i < SMALL_FILES; i++) {
    writeFileSync(`${directory}/small/${smallName(i)}`, Buffer.alloc(SMALL_BYTES, i));
  }
  for (let i = 0; i < MANY_FILES; i++) writeFileSync(`${directory}/many/entry_${i}`, "");
  const most = Math.max(...THREADS);
  for (let thread = 0; thread < most; thread++) makeBigFile(`${directory}/${bigName(thread)}`);
  for (const threads of THREADS) {
    for (let thread = 0; thread < threads; thread++) {
      const name = `${directory}/${partName("repo", threads, thread)}`;
      await makeRepository(name, files / threads);
    }
  }
}

/** Makes the archives that `untar` unpacks: the sources of the repositories. */
export async function makeArchives(template: string, directory: string): Promise<void> {
  for (const threads of THREADS) {
    for (let thread = 0; thread < threads; thread++) {
      const source = `${template}/${partName("repo", threads, thread)}`;
      const archive = `${directory}/${partName("repo", threads, thread)}.tar`;
      await run(["tar", "-cf", archive, "--exclude=.git", "-C", source, "."], {});
    }
  }
}

/** Copies the template to `directory`, which may be a mount, with all times kept. */
export async function copyTree(template: string, directory: string): Promise<void> {
  await run(["cp", "-a", `${template}/.`, directory], { timeoutMs: 120_000 });
}
