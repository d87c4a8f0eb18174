/** chmod(2) and chown(2): what they change and whom they refuse. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { changed, make, modeOf, owned, ownedDirectory, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

function ownerOf(path: string): number[] {
  const { uid, gid } = p.lstat(path);
  return [uid, gid];
}

export const cases = area("chmod", {
  "all-4096-modes": () => {
    put("f");
    for (let mode = 0; mode < 0o10000; mode += 37) {
      p.chmod("f", mode);
      equal(modeOf("f"), mode, "mode");
    }
  },
  "directory-modes": () => {
    p.mkdir("d");
    for (const mode of [0, 0o700, 0o1777, 0o2775, 0o7777]) {
      p.chmod("d", mode);
      equal(modeOf("d"), mode, "mode");
    }
  },
  "by-descriptor": () => {
    const fd = make("f");
    p.fchmod(fd, 0o4711);
    equal(modeOf("f"), 0o4711, "mode");
  },
  "through-a-symlink": () => {
    put("f");
    p.symlink("f", "link");
    p.chmod("link", 0o600);
    equal([modeOf("f"), modeOf("link")], [0o600, 0o777], "modes");
  },
  "ignores-the-umask": () => {
    put("f");
    p.umask(0o777);
    p.chmod("f", 0o666);
    equal(modeOf("f"), 0o666, "mode");
  },
  "changes-ctime-only": () => {
    put("f");
    equal(
      changed("f", () => p.chmod("f", 0o600)),
      ["ctime"],
      "changed times",
    );
  },
  "by-the-owner": async (context) => {
    owned("f", 1001, 1001, 0);
    const user = await context.user(1001);
    await user.chmod("f", 0o640);
    equal(modeOf("f"), 0o640, "mode");
  },
  "by-another": async (context) => {
    owned("f", 1002, 1002, 0o666);
    const user = await context.user(1001);
    await rejects("EPERM", user.chmod("f", 0o600));
    const fd = await user.open("f", p.O_RDWR);
    await rejects("EPERM", user.fchmod(fd, 0o600));
  },
  "by-group-member": async (context) => {
    owned("f", 1002, 1001, 0o664);
    const user = await context.user(1001);
    await rejects("EPERM", user.chmod("f", 0o600));
  },
  "setgid-by-owner-outside-the-group": async (context) => {
    owned("f", 1001, 1002, 0o755);
    const user = await context.user(1001);
    await user.chmod("f", 0o2755);
    equal(modeOf("f"), 0o755, "mode: setgid is dropped");
  },
  "setgid-by-owner-inside-the-group": async (context) => {
    owned("f", 1001, 1002, 0o755);
    const user = await context.user(1001, 1001, [1002]);
    await user.chmod("f", 0o2755);
    equal(modeOf("f"), 0o2755, "mode");
  },
  "takes-effect-at-once-for-others": async (context) => {
    owned("f", 0, 0, 0o644);
    const user = await context.user(1001);
    await user.open("f", p.O_RDONLY);
    p.chmod("f", 0o600);
    await rejects("EACCES", user.open("f", p.O_RDONLY));
    p.chmod("f", 0o644);
    await user.open("f", p.O_RDONLY);
  },
  "fifo-and-socket": () => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    p.mknod("s", p.S_IFSOCK | 0o600);
    p.chmod("fifo", 0o666);
    p.chmod("s", 0o777);
    equal([modeOf("fifo"), modeOf("s")], [0o666, 0o777], "modes");
  },
});

export const ownership = area("chown", {
  "user-and-group": () => {
    put("f");
    p.chown("f", 1001, 1002);
    equal(ownerOf("f"), [1001, 1002], "owner and group");
  },
  "one-of-both": () => {
    put("f");
    p.chown("f", 1001, p.KEEP);
    equal(ownerOf("f"), [1001, 0], "owner alone");
    p.chown("f", p.KEEP, 1002);
    equal(ownerOf("f"), [1001, 1002], "group alone");
    p.chown("f", p.KEEP, p.KEEP);
    equal(ownerOf("f"), [1001, 1002], "neither");
  },
  "large-ids": () => {
    put("f");
    p.chown("f", 0xfffffffe, 3_000_000_000);
    equal(ownerOf("f"), [0xfffffffe, 3_000_000_000], "owner and group");
  },
  "by-descriptor": () => {
    const fd = make("f");
    p.fchown(fd, 1001, 1002);
    equal(ownerOf("f"), [1001, 1002], "owner and group");
  },
  "of-a-symlink": () => {
    put("f");
    p.symlink("f", "link");
    p.lchown("link", 1001, 1001);
    equal(
      [ownerOf("link"), ownerOf("f")],
      [
        [1001, 1001],
        [0, 0],
      ],
      "owners by lchown",
    );
    p.chown("link", 1002, 1002);
    equal(
      [ownerOf("link"), ownerOf("f")],
      [
        [1001, 1001],
        [1002, 1002],
      ],
      "owners by chown",
    );
  },
  "of-a-directory": () => {
    p.mkdir("d");
    p.chown("d", 1001, 1001);
    equal(ownerOf("d"), [1001, 1001], "owner and group");
  },
  "owner-gives-away": async (context) => {
    owned("f", 1001, 1001, 0o644);
    const user = await context.user(1001);
    await rejects("EPERM", user.chown("f", 1002, p.KEEP));
  },
  "owner-to-own-group": async (context) => {
    owned("f", 1001, 1001, 0o644);
    const user = await context.user(1001, 1001, [1002]);
    await user.chown("f", p.KEEP, 1002);
    equal(ownerOf("f"), [1001, 1002], "owner and group");
  },
  "owner-to-foreign-group": async (context) => {
    owned("f", 1001, 1001, 0o644);
    const user = await context.user(1001);
    await rejects("EPERM", user.chown("f", p.KEEP, 1002));
  },
  "by-another": async (context) => {
    owned("f", 1002, 1002, 0o666);
    const user = await context.user(1001);
    await rejects("EPERM", user.chown("f", 1001, 1001));
    await rejects("EPERM", user.chown("f", p.KEEP, 1001));
  },
  "changes-ctime-only": () => {
    put("f");
    equal(
      changed("f", () => p.chown("f", 1001, 1001)),
      ["ctime"],
      "changed times",
    );
  },
  "takes-effect-at-once-for-others": async (context) => {
    owned("f", 0, 0, 0o600);
    const user = await context.user(1001);
    await rejects("EACCES", user.open("f", p.O_RDONLY));
    p.chown("f", 1001, 1001);
    await user.open("f", p.O_RDONLY);
  },
  "directory-for-its-new-owner": async (context) => {
    ownedDirectory("d", 0, 0, 0o755);
    const user = await context.user(1001);
    await rejects("EACCES", user.mkdir("d/e"));
    p.chown("d", 1001, 1001);
    await user.mkdir("d/e");
  },
  "unknown-flag": () => {
    put("f");
    refuses("EINVAL", () => p.chown("f", 1, 1, 0x8000));
  },
});
