/** Many files of one process: made, renamed, removed. */
import { O_DIRECTORY, O_RDONLY, S_IFREG } from "../posix/constants.ts";
import { list } from "../posix/directory.ts";
import { errnoName, PosixError } from "../posix/failure.ts";
import { close, open } from "../posix/open.ts";
import { stat } from "../posix/stat.ts";
import { linkat, mknod, renameat, unlink } from "../posix/tree.ts";

/** Makes `prefix`N for N from `from` up to, and without, `to`. */
export function makeFiles(directory: string, prefix: string, from: number, to: number): void {
  const fd = open(directory, O_RDONLY | O_DIRECTORY);
  for (let index = from; index < to; index++) mknod(`${prefix}${index}`, S_IFREG | 0o644, 0, fd);
  close(fd);
}

/** Makes, renames and removes one file after the other; leaves none. */
export function churn(directory: string, prefix: string, rounds: number): void {
  const fd = open(directory, O_RDONLY | O_DIRECTORY);
  for (let index = 0; index < rounds; index++) {
    mknod(`${prefix}${index}`, S_IFREG | 0o644, 0, fd);
    renameat(fd, `${prefix}${index}`, fd, `${prefix}${index}-moved`);
    unlink(`${prefix}${index}-moved`, fd);
  }
  close(fd);
}

/** Gives the file `f` of a directory another name and takes the first away, in turn; `f` is left. */
export function relink(directory: string, rounds: number): void {
  const fd = open(directory, O_RDONLY | O_DIRECTORY);
  for (let index = 0; index < rounds; index++) {
    linkat(fd, "f", fd, "g");
    unlink("f", fd);
    renameat(fd, "g", fd, "h");
    linkat(fd, "h", fd, "f");
    unlink("h", fd);
  }
  close(fd);
}

/** Looks at everything in a directory, again and again. */
export function look(directory: string, rounds: number): void {
  for (let index = 0; index < rounds; index++) {
    for (const name of [...list(directory), "g", "h"]) {
      try {
        stat(`${directory}/${name}`);
      } catch (error) {
        if (!(error instanceof PosixError) || errnoName(error.errno) !== "ENOENT") throw error;
      }
    }
  }
}
