/** Attempts that several processes make at once, and what each of them got. */
import { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_WRONLY } from "../posix/constants.ts";
import { errnoName, PosixError } from "../posix/failure.ts";
import { close, open, openat } from "../posix/open.ts";
import { linkat, mkdir, renameat, rmdir, symlink, unlink } from "../posix/tree.ts";

const attempts = {
  create: (fd: number, name: string) => {
    close(openat(fd, name, O_CREAT | O_EXCL | O_WRONLY));
  },
  mkdir: (fd: number, name: string) => mkdir(name, 0o755, fd),
  symlink: (fd: number, name: string) => symlink("target", name, fd),
  link: (fd: number, name: string) => linkat(fd, "source", fd, name),
  unlink: (fd: number, name: string) => unlink(name, fd),
  rmdir: (fd: number, name: string) => rmdir(name, fd),
  "rename-away": (fd: number, name: string) => renameat(fd, name, fd, `${name}-taken`),
};
export type Attempt = keyof typeof attempts;

/** How often an attempt succeeded, and which other answers came, by errno. */
export type Outcome = Record<string, number>;

/** Tries `kind` on n0, n1, … of `directory`, starting at one of its own. */
export function race(kind: Attempt, directory: string, count: number, start: number): Outcome {
  const fd = open(directory, O_RDONLY | O_DIRECTORY);
  const outcome: Outcome = {};
  for (let index = 0; index < count; index++) {
    let answer = "done";
    try {
      attempts[kind](fd, `n${(start + index) % count}`);
    } catch (error) {
      if (!(error instanceof PosixError)) throw error;
      answer = errnoName(error.errno);
    }
    outcome[answer] = (outcome[answer] ?? 0) + 1;
  }
  close(fd);
  return outcome;
}
