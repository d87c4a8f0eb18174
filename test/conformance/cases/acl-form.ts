/** Which ACLs are taken and refused, and what setting one changes. */
import { area } from "../harness/case.ts";
import { equal, refuses } from "../harness/expect.ts";
import { changed, modeOf, owned, put } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

const { ACCESS } = p;

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

export const cases = area("acl-form", {
  "removal-leaves-the-mode": () => {
    put("f");
    p.setAcl("f", forUser(1001, 6, 4));
    p.removexattr("f", ACCESS);
    refuses("ENODATA", () => p.getxattr("f", ACCESS));
    equal(modeOf("f"), 0o640, "mode");
  },
  "named-without-mask": () => {
    put("f");
    refuses("EINVAL", () =>
      p.setAcl("f", [
        ["user", 6],
        ["namedUser", 6, 1001],
        ["group", 0],
        ["other", 0],
      ]),
    );
  },
  "without-owner-entry": () => {
    put("f");
    refuses("EINVAL", () =>
      p.setAcl("f", [
        ["group", 0],
        ["other", 0],
      ]),
    );
  },
  "unknown-version": () => {
    put("f");
    const bytes = p.encodeAcl(forUser(1001, 6));
    bytes.writeUInt32LE(1, 0);
    refuses("EOPNOTSUPP", () => p.setxattr("f", ACCESS, bytes));
  },
  "cut-in-an-entry": () => {
    put("f");
    refuses("EINVAL", () => p.setxattr("f", ACCESS, p.encodeAcl(forUser(1001, 6)).subarray(0, 15)));
  },
  "on-a-symlink": () => {
    p.symlink("x", "link");
    refuses("EOPNOTSUPP", () => p.lsetxattr("link", ACCESS, p.encodeAcl(forUser(1001, 6))));
  },
  "changes-ctime-only": () => {
    put("f");
    equal(
      changed("f", () => p.setAcl("f", forUser(1001, 6))),
      ["ctime"],
      "changed times",
    );
  },
  "setgid-dropped-for-owner-outside-the-group": async (context) => {
    owned("f", 1001, 1002, 0o2755);
    const owner = await context.user(1001);
    await owner.setAcl("f", [
      ["user", 7],
      ["namedUser", 7, 1002],
      ["group", 5],
      ["mask", 7],
      ["other", 5],
    ]);
    equal(modeOf("f"), 0o775, "mode");
  },
});
