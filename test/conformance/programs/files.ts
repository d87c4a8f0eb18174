/** Many files of one process: made, renamed, removed. */
import { O_DIRECTORY, O_RDONLY, S_IFREG } from "../posix/constants.ts";
import { close, open } from "../posix/open.ts";
import { mknod, renameat, unlink } from "../posix/tree.ts";

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
