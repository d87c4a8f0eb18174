/** Default ACLs of directories, and what new files get of them. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { modeOf, ownedDirectory, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { ACCESS, DEFAULT } = p;

/** rw for the owner and `uid`, nothing for all others. */
function forUser(uid: number, permission: number, mask = 7): p.AclEntry[] {
  return [
    ["user", 6],
    ["namedUser", permission, uid],
    ["group", 0],
    ["mask", mask],
    ["other", 0],
  ];
}

export const cases = area("acl-default", {
  "round-trip": () => {
    p.mkdir("d");
    const acl = forUser(1001, 6);
    p.setAcl("d", acl, DEFAULT);
    equal(p.getAcl("d", DEFAULT), acl, "ACL");
    equal(modeOf("d"), 0o755, "mode of the directory");
    refuses("ENODATA", () => p.getxattr("d", ACCESS));
  },
  "on-a-file": () => {
    put("f");
    refuses("EACCES", () => p.setAcl("f", forUser(1001, 6), DEFAULT));
  },
  "becomes-the-access-acl-of-files": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    put("d/f");
    equal(
      p.getAcl("d/f"),
      [
        ["user", 6],
        ["namedUser", 6, 1001],
        ["group", 0],
        ["mask", 4],
        ["other", 0],
      ],
      "ACL of a file created with 0644",
    );
    equal(modeOf("d/f"), 0o640, "mode");
  },
  "replaces-the-umask": () => {
    p.mkdir("d");
    p.setAcl(
      "d",
      [
        ["user", 7],
        ["group", 7],
        ["other", 7],
      ],
      DEFAULT,
    );
    p.umask(0o077);
    p.open("d/f", p.O_CREAT | p.O_WRONLY, 0o666);
    p.mkdir("d/e", 0o777);
    p.mknod("d/fifo", p.S_IFIFO | 0o666);
    const modes = ["d/f", "d/e", "d/fifo"].map(modeOf);
    equal(modes, [0o666, 0o777, 0o666], "modes");
  },
  "is-inherited-by-directories": () => {
    p.mkdir("d");
    const acl = forUser(1001, 7);
    p.setAcl("d", acl, DEFAULT);
    p.mkdir("d/e", 0o777);
    equal(p.getAcl("d/e", DEFAULT), acl, "default ACL");
    p.mkdir("d/e/g");
    equal(p.getAcl("d/e/g", DEFAULT), acl, "default ACL one deeper");
  },
  "create-mode-limits": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 7), DEFAULT);
    p.open("d/f", p.O_CREAT | p.O_WRONLY, 0o400);
    equal(
      p.getAcl("d/f"),
      [
        ["user", 4],
        ["namedUser", 7, 1001],
        ["group", 0],
        ["mask", 0],
        ["other", 0],
      ],
      "ACL",
    );
  },
  "applies-to-tmpfile": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    const fd = p.open("d", p.O_TMPFILE | p.O_RDWR, 0o660);
    equal(p.decodeAcl(p.fgetxattr(fd, ACCESS)), forUser(1001, 6, 6), "ACL");
  },
  "does-not-apply-to-symlinks": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    p.symlink("x", "d/link");
    equal(p.llistxattr("d/link"), [], "list");
  },
  "does-not-follow-rename-and-link": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    put("a");
    put("b");
    p.rename("a", "d/a");
    p.link("b", "d/b");
    refuses("ENODATA", () => p.getxattr("d/a", ACCESS));
    refuses("ENODATA", () => p.getxattr("d/b", ACCESS));
  },
  "grants-through-inheritance": async (context) => {
    ownedDirectory("d", 0, 0, 0o755);
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    p.open("d/f", p.O_CREAT | p.O_WRONLY, 0o660);
    const [named, other] = [await context.user(1001), await context.user(1002)];
    await named.open("d/f", p.O_RDWR);
    await rejects("EACCES", other.open("d/f", p.O_RDONLY));
  },
  "is-removed": () => {
    p.mkdir("d");
    p.setAcl("d", forUser(1001, 6), DEFAULT);
    p.removexattr("d", DEFAULT);
    put("d/f");
    equal([p.listxattr("d"), p.listxattr("d/f")], [[], []], "lists");
    equal(modeOf("d/f"), 0o644, "mode");
  },
  "with-setgid-directory": async (context) => {
    ownedDirectory("d", 0, 1002, 0o2777);
    p.setAcl(
      "d",
      [
        ["user", 7],
        ["group", 7],
        ["other", 0],
      ],
      DEFAULT,
    );
    const user = await context.user(1001);
    await user.open("d/f", p.O_CREAT | p.O_WRONLY, 0o666);
    equal([p.stat("d/f").gid, modeOf("d/f")], [1002, 0o660], "group and mode");
  },
});
