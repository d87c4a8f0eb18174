/** Set-id bits: when they are cleared, inherited, and obeyed; sticky directories. */
import { area } from "../harness/case.ts";
import { equal, rejects } from "../harness/expect.ts";
import { get, modeOf, owned, ownedDirectory, put, text } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

/** A program with those bits, that `id -u` or `id -g` can be asked of. */
function program(uid: number, gid: number, mode: number): void {
  put("id", get("/usr/bin/id"), 0o755);
  p.chown("id", uid, gid);
  p.chmod("id", mode);
}

export const cases = area("set-id", {
  "write-by-another-clears-suid-and-sgid": async (context) => {
    owned("f", 0, 0, 0o6777, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_WRONLY);
    await user.write(fd, "X");
    equal(modeOf("f"), 0o777, "mode");
  },
  "write-by-owner-clears-too": async (context) => {
    owned("f", 1001, 1001, 0o6755, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_WRONLY);
    await user.write(fd, "X");
    equal(modeOf("f"), 0o755, "mode");
  },
  "write-by-root-keeps": () => {
    owned("f", 1001, 1001, 0o6755, "data");
    const fd = p.open("f", p.O_WRONLY);
    p.write(fd, "X");
    equal(modeOf("f"), 0o6755, "mode");
  },
  "write-keeps-sgid-without-group-execute": async (context) => {
    owned("f", 0, 1001, 0o2666, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_WRONLY);
    await user.write(fd, "X");
    equal(modeOf("f"), 0o2666, "mode");
  },
  "truncate-by-another-clears": async (context) => {
    owned("f", 0, 0, 0o6777, "data");
    const user = await context.user(1001);
    await user.truncate("f", 1);
    equal(modeOf("f"), 0o777, "mode");
  },
  "open-trunc-by-another-clears": async (context) => {
    owned("f", 0, 0, 0o6777, "data");
    const user = await context.user(1001);
    await user.open("f", p.O_WRONLY | p.O_TRUNC);
    equal(modeOf("f"), 0o777, "mode");
  },
  "fallocate-by-another-clears": async (context) => {
    owned("f", 0, 0, 0o6777, "data");
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_RDWR);
    await user.fallocate(fd, 0, 0, 10_000);
    equal(modeOf("f"), 0o777, "mode");
  },
  "copy-file-range-by-another-clears": async (context) => {
    owned("f", 0, 0, 0o6777, "data");
    owned("from", 0, 0, 0o644, "other");
    const user = await context.user(1001);
    const [from, to] = [await user.open("from", p.O_RDONLY), await user.open("f", p.O_RDWR)];
    await user.copyFileRange(from, 0, to, 0, 5);
    equal(modeOf("f"), 0o777, "mode");
  },
  "chown-by-root-clears": () => {
    owned("f", 0, 0, 0o6755);
    p.chown("f", 1001, 1001);
    equal(modeOf("f"), 0o755, "mode");
  },
  "chown-keeps-sgid-without-group-execute": () => {
    owned("f", 0, 0, 0o6745);
    p.chown("f", 1001, 1001);
    equal(modeOf("f"), 0o2745, "mode");
  },
  "chown-by-owner-clears": async (context) => {
    owned("f", 1001, 1001, 0o6755);
    const user = await context.user(1001, 1001, [1002]);
    await user.chown("f", p.KEEP, 1002);
    equal(modeOf("f"), 0o755, "mode");
  },
  "chown-of-a-directory-keeps": () => {
    ownedDirectory("d", 0, 0, 0o6755);
    p.chown("d", 1001, 1001);
    equal(modeOf("d"), 0o6755, "mode");
  },
  "write-clears-capabilities": async (context) => {
    owned("f", 1001, 1001, 0o755, "data");
    // struct vfs_cap_data, revision 2: cap_net_raw permitted.
    p.setxattr(
      "f",
      "security.capability",
      Buffer.from("0100000200200000000000000000000000000000", "hex"),
    );
    const user = await context.user(1001);
    const fd = await user.open("f", p.O_WRONLY);
    await user.write(fd, "X");
    await rejects("ENODATA", user.getxattr("f", "security.capability"));
  },
  "chown-clears-capabilities": async (context) => {
    owned("f", 0, 0, 0o755, "data");
    p.setxattr(
      "f",
      "security.capability",
      Buffer.from("0100000200200000000000000000000000000000", "hex"),
    );
    p.chown("f", 1001, 1001);
    const user = await context.user(1001);
    await rejects("ENODATA", user.getxattr("f", "security.capability"));
  },
  "directory-gives-its-group-to-files": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    const user = await context.user(1001);
    await user.open("d/f", p.O_CREAT | p.O_WRONLY);
    equal([p.stat("d/f").uid, p.stat("d/f").gid], [1001, 1002], "owner and group");
    equal(modeOf("d/f"), 0o644, "mode");
  },
  "directory-gives-group-and-bit-to-directories": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    const user = await context.user(1001);
    await user.mkdir("d/e");
    equal([p.stat("d/e").gid, modeOf("d/e")], [1002, 0o2755], "group and mode");
  },
  "directory-gives-its-group-to-others": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    const user = await context.user(1001);
    await user.symlink("x", "d/link");
    await user.mknod("d/fifo", p.S_IFIFO | 0o600);
    equal([p.lstat("d/link").gid, p.stat("d/fifo").gid], [1002, 1002], "groups");
  },
  "directory-strips-sgid-of-created-executables": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    const user = await context.user(1001);
    await user.open("d/f", p.O_CREAT | p.O_WRONLY, 0o2755);
    equal(modeOf("d/f"), 0o755, "mode");
  },
  "suid-program-runs-as-its-owner": {
    needs: "suid",
    run: async (context) => {
      p.chmod(".", 0o777);
      program(1002, 0, 0o4755);
      const user = await context.user(1001);
      equal(await user.execute("./id", ["-u"], "out"), 0, "exit code");
      equal(text("out").trim(), "1002", "effective user");
    },
  },
  "sgid-program-runs-with-its-group": {
    needs: "suid",
    run: async (context) => {
      p.chmod(".", 0o777);
      program(0, 1002, 0o2755);
      const user = await context.user(1001);
      equal(await user.execute("./id", ["-g"], "out"), 0, "exit code");
      equal(text("out").trim(), "1002", "effective group");
    },
  },
});

export const sticky = area("sticky", {
  "owner-of-the-file-removes": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    owned("d/f", 1001, 1001, 0o644);
    const user = await context.user(1001);
    await user.unlink("d/f");
  },
  "another-does-not-remove": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    owned("d/f", 1002, 1002, 0o666);
    const user = await context.user(1001);
    await rejects("EPERM", user.unlink("d/f"));
  },
  "owner-of-the-directory-removes": async (context) => {
    ownedDirectory("d", 1001, 1001, 0o1777);
    owned("d/f", 1002, 1002, 0o644);
    const user = await context.user(1001);
    await user.unlink("d/f");
  },
  "another-does-not-rmdir": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    ownedDirectory("d/e", 1002, 1002, 0o777);
    const user = await context.user(1001);
    await rejects("EPERM", user.rmdir("d/e"));
  },
  "another-creates-own": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    const user = await context.user(1001);
    await user.mkdir("d/e");
    await user.rename("d/e", "d/f");
    await user.rmdir("d/f");
  },
  "root-removes": () => {
    ownedDirectory("d", 1001, 1001, 0o1777);
    owned("d/f", 1002, 1002, 0o644);
    p.unlink("d/f");
    equal(p.list("d"), [], "entries");
  },
});
