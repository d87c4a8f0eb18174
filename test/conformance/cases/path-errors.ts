/** What every operation with a path answers when the way there is not passable. */
import type { Remote } from "../harness/calls.ts";
import { area, type Run } from "../harness/case.ts";
import { refuses, rejects } from "../harness/expect.ts";
import { ownedDirectory, put } from "../harness/fixtures.ts";
import type { Errno } from "../posix/failure.ts";
import * as p from "../posix/index.ts";

type Operation<T> = (on: T, path: string) => unknown;
type Anyone = typeof p | Remote;

/** "there" is a file that exists in each case. */
const operations: Record<string, Operation<Anyone>> = {
  open: (on, path) => on.open(path, p.O_RDONLY),
  create: (on, path) => on.open(path, p.O_WRONLY | p.O_CREAT),
  "open-path": (on, path) => on.open(path, p.O_PATH),
  mkdir: (on, path) => on.mkdir(path),
  rmdir: (on, path) => on.rmdir(path),
  mkfifo: (on, path) => on.mknod(path, p.S_IFIFO | 0o644),
  unlink: (on, path) => on.unlink(path),
  symlink: (on, path) => on.symlink("target", path),
  readlink: (on, path) => on.readlink(path),
  "link-from": (on, path) => on.link(path, "new"),
  "link-to": (on, path) => on.link("there", path),
  "rename-from": (on, path) => on.rename(path, "new"),
  "rename-to": (on, path) => on.rename("there", path),
  stat: (on, path) => on.stat(path),
  lstat: (on, path) => on.lstat(path),
  access: (on, path) => on.access(path, p.F_OK),
  chmod: (on, path) => on.chmod(path, 0o600),
  chown: (on, path) => on.chown(path, 1001, 1001),
  lchown: (on, path) => on.lchown(path, 1001, 1001),
  truncate: (on, path) => on.truncate(path, 0),
  utimensat: (on, path) => on.touch(path),
  chdir: (on, path) => on.chdir(path),
  statfs: (on, path) => on.statfs(path),
  getxattr: (on, path) => on.getxattr(path, "user.a"),
  setxattr: (on, path) => on.setxattr(path, "user.a", "1"),
  listxattr: (on, path) => on.listxattr(path),
  removexattr: (on, path) => on.removexattr(path, "user.a"),
};

/** End of the case's name, errno, path, and what has to be there. */
const ways: [string, Errno, string, () => void][] = [
  ["parent-missing", "ENOENT", "missing/x", () => {}],
  ["parent-is-file", "ENOTDIR", "there/x", () => {}],
  ["name-of-256", "ENAMETOOLONG", "n".repeat(256), () => {}],
  ["parent-loops", "ELOOP", "loop/x", () => p.symlink("loop", "loop")],
];

const blocked = Object.entries(operations).flatMap(([name, operation]) =>
  ways.map(([way, errno, path, prepare]): [string, Run] => [
    `${name}-${way}`,
    () => {
      put("there");
      prepare();
      refuses(errno, () => operation(p, path));
    },
  ]),
);

const closed = Object.entries(operations).map(([name, operation]): [string, Run] => [
  `${name}-parent-not-searchable`,
  async (context) => {
    p.chmod(".", 0o777);
    const user = await context.user(1001);
    await user.open("there", p.O_CREAT | p.O_WRONLY);
    ownedDirectory("closed", 1001, 1001, 0o755);
    await user.open("closed/x", p.O_CREAT | p.O_WRONLY);
    p.chmod("closed", 0o666);
    await rejects("EACCES", operation(user, "closed/x") as Promise<unknown>);
  },
]);

/** One refusal, of all operations. */
function everyOne(errno: Errno, path: string): Run {
  return () => {
    put("there");
    for (const operation of Object.values(operations)) refuses(errno, () => operation(p, path));
  };
}

export const cases = area("path", {
  ...Object.fromEntries(blocked),
  ...Object.fromEntries(closed),
  "empty-path": everyOne("ENOENT", ""),
  "path-of-4096": everyOne("ENAMETOOLONG", `${"./".repeat(2047)}xy`),
  "name-of-256-in-the-middle": everyOne("ENAMETOOLONG", `${"n".repeat(256)}/x`),
  "path-of-4095": () => {
    put("there", "far");
    const path = `${"./".repeat(2045)}there`;
    refuses("ENAMETOOLONG", () => p.stat(`./${path}`));
    p.stat(path);
  },
});
