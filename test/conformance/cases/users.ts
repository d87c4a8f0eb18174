/** Permission of users and groups on files and directories. */
import { area, type Run } from "../harness/case.ts";
import { equal, holds, rejects } from "../harness/expect.ts";
import { owned, ownedDirectory, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { O_RDONLY, O_RDWR, O_WRONLY } = p;

/** Which of reading and writing one class of users gets, for a mode. */
function fileRights(owner: number, group: number, mode: number, rights: string): Run {
  return async (context) => {
    owned("f", owner, group, mode, "data");
    const user = await context.user(1001, 1001, [1002]);
    const tries: [string, number][] = [
      ["r", O_RDONLY],
      ["w", O_WRONLY],
      ["rw", O_RDWR],
    ];
    for (const [need, flags] of tries) {
      const allowed = [...need].every((letter) => rights.includes(letter));
      if (allowed) await user.open("f", flags);
      else await rejects("EACCES", user.open("f", flags));
    }
  };
}

export const cases = area("users-file", {
  "owner-rw": fileRights(1001, 0, 0o600, "rw"),
  "owner-r": fileRights(1001, 0, 0o466, "r"),
  "owner-w": fileRights(1001, 0, 0o266, "w"),
  "owner-none-though-group-and-other": fileRights(1001, 1002, 0o066, ""),
  "group-rw": fileRights(0, 1001, 0o060, "rw"),
  "group-r-though-other-rw": fileRights(0, 1001, 0o046, "r"),
  "supplementary-group-rw": fileRights(0, 1002, 0o060, "rw"),
  "supplementary-group-none-though-other": fileRights(0, 1002, 0o606, ""),
  "other-r": fileRights(0, 0, 0o664, "r"),
  "other-w": fileRights(0, 0, 0o662, "w"),
  "other-none": fileRights(0, 0, 0o660, ""),
  "nobody-is-other": async (context) => {
    owned("f", 1001, 1001, 0o640, "data");
    const nobody = await context.user(65534);
    await rejects("EACCES", nobody.open("f", O_RDONLY));
    p.chmod("f", 0o644);
    holds(await nobody.read(await nobody.open("f", O_RDONLY), 8), "data", "content");
  },
  "32-groups": async (context) => {
    const groups = Array.from({ length: 32 }, (_, index) => 20_000 + index);
    owned("f", 0, 20_031, 0o640, "data");
    const user = await context.user(1001, 1001, groups);
    holds(await user.read(await user.open("f", O_RDONLY), 8), "data", "content");
  },
  "three-users-on-one-file": async (context) => {
    owned("f", 1001, 1002, 0o640, "data");
    const [a, b, c] = [
      await context.user(1001),
      await context.user(1002),
      await context.user(65534),
    ];
    await a.open("f", O_RDWR);
    await b.open("f", O_RDONLY);
    await rejects("EACCES", b.open("f", O_RDWR));
    await rejects("EACCES", c.open("f", O_RDONLY));
  },
  "content-cached-by-one-is-not-given-to-another": async (context) => {
    owned("f", 1001, 1001, 0o600, "secret");
    const [owner, other] = [await context.user(1001), await context.user(1002)];
    holds(await owner.read(await owner.open("f", O_RDONLY), 8), "secret", "content");
    await rejects("EACCES", other.open("f", O_RDONLY));
    equal((await other.stat("f")).size, 6, "size");
  },
});

export const directories = area("users-directory", {
  "read-without-search": async (context) => {
    ownedDirectory("d", 0, 0, 0o754);
    put("d/f");
    const user = await context.user(1001);
    equal(await user.list("d"), ["f"], "entries");
    await rejects("EACCES", user.stat("d/f"));
  },
  "search-without-read": async (context) => {
    ownedDirectory("d", 0, 0, 0o751);
    put("d/f");
    const user = await context.user(1001);
    equal((await user.stat("d/f")).size, 0, "size");
    await rejects("EACCES", user.list("d"));
  },
  "write-without-search": async (context) => {
    ownedDirectory("d", 0, 0, 0o752);
    put("d/f");
    const user = await context.user(1001);
    await rejects("EACCES", user.unlink("d/f"));
    await rejects("EACCES", user.open("d/g", p.O_CREAT | O_WRONLY));
  },
  "write-and-search": async (context) => {
    ownedDirectory("d", 0, 0, 0o753);
    put("d/f");
    const user = await context.user(1001);
    await user.unlink("d/f");
    await user.mkdir("d/g");
    await rejects("EACCES", user.list("d"));
  },
  "by-group": async (context) => {
    ownedDirectory("d", 0, 1002, 0o770);
    const member = await context.user(1001, 1001, [1002]);
    const stranger = await context.user(1001);
    await member.mkdir("d/e");
    await rejects("EACCES", stranger.stat("d/e"));
  },
  "search-at-every-level": async (context) => {
    ownedDirectory("a", 0, 0, 0o755);
    ownedDirectory("a/b", 0, 0, 0o700);
    ownedDirectory("a/b/c", 1001, 1001, 0o777);
    put("a/b/c/f");
    const user = await context.user(1001);
    await rejects("EACCES", user.stat("a/b/c/f"));
    await rejects("EACCES", user.chdir("a/b/c"));
    p.chmod("a/b", 0o711);
    await user.stat("a/b/c/f");
  },
  "descriptor-passes-closed-parents": async (context) => {
    ownedDirectory("a", 0, 0, 0o755);
    ownedDirectory("a/b", 0, 0, 0o755);
    put("a/b/f", "data");
    const user = await context.user(1001);
    const dir = await user.open("a/b", O_RDONLY | p.O_DIRECTORY);
    p.chmod("a", 0o700);
    holds(await user.read(await user.openat(dir, "f", O_RDONLY), 8), "data", "content");
    await rejects("EACCES", user.stat("a/b/f"));
  },
  "root-passes-all": () => {
    ownedDirectory("d", 1001, 1001, 0);
    put("d/f", "data");
    equal(p.list("d"), ["f"], "entries");
    equal(p.stat("d/f").size, 4, "size");
  },
  "closing-takes-effect-at-once": async (context) => {
    ownedDirectory("d", 0, 0, 0o755);
    put("d/f");
    const user = await context.user(1001);
    await user.stat("d/f");
    p.chmod("d", 0o700);
    await rejects("EACCES", user.stat("d/f"));
    p.chmod("d", 0o755);
    await user.stat("d/f");
  },
});

export const userTimes = area("users-times", {
  "owner-sets-any": async (context) => {
    owned("f", 1001, 1001, 0o400);
    const user = await context.user(1001);
    await user.utimens("f", 5n, 6n);
    equal(p.stat("f").mtime, 6n, "mtime");
  },
  "writer-sets-now-only": async (context) => {
    owned("f", 0, 0, 0o666);
    const user = await context.user(1001);
    await user.touch("f");
    await user.utimens("f", p.UTIME_NOW, p.UTIME_NOW);
    await rejects("EPERM", user.utimens("f", 5n, 6n));
    await rejects("EPERM", user.utimens("f", p.UTIME_OMIT, p.UTIME_NOW));
  },
  "reader-sets-nothing": async (context) => {
    owned("f", 0, 0, 0o644);
    const user = await context.user(1001);
    await rejects("EACCES", user.touch("f"));
    await rejects("EACCES", user.utimens("f", p.UTIME_NOW, p.UTIME_NOW));
    await rejects("EPERM", user.utimens("f", 5n, 6n));
  },
});

export const masks = area("umask", {
  "of-each-kind": () => {
    p.umask(0o027);
    p.open("f", p.O_CREAT | O_WRONLY, 0o666);
    p.mkdir("d", 0o777);
    p.mknod("fifo", p.S_IFIFO | 0o666);
    const modes = ["f", "d", "fifo"].map((path) => p.stat(path).mode & 0o7777);
    equal(modes, [0o640, 0o750, 0o640], "modes");
  },
  "0-lets-all-through": () => {
    p.umask(0);
    p.open("f", p.O_CREAT | O_WRONLY, 0o666);
    p.mkdir("d", 0o777);
    equal([p.stat("f").mode & 0o7777, p.stat("d").mode & 0o7777], [0o666, 0o777], "modes");
  },
  "0777-takes-all": () => {
    p.umask(0o777);
    p.open("f", p.O_CREAT | O_WRONLY, 0o666);
    p.mkdir("d", 0o777);
    equal([p.stat("f").mode & 0o7777, p.stat("d").mode & 0o7777], [0, 0], "modes");
  },
  "is-of-the-calling-process": async (context) => {
    const peer = await context.peer();
    await peer.umask(0o077);
    p.umask(0);
    await peer.open("a", p.O_CREAT | O_WRONLY, 0o666);
    p.open("b", p.O_CREAT | O_WRONLY, 0o666);
    equal([p.stat("a").mode & 0o777, p.stat("b").mode & 0o777], [0o600, 0o666], "modes");
  },
  "applies-to-tmpfile": () => {
    p.umask(0o077);
    const fd = p.open(".", p.O_TMPFILE | O_RDWR, 0o666);
    equal(p.fstat(fd).mode & 0o7777, 0o600, "mode");
  },
});
