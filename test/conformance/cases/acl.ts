/** POSIX ACLs: their form, what they grant, and how mode and mask depend on each other. */
import { area } from "../harness/case.ts";
import { equal, refuses, rejects } from "../harness/expect.ts";
import { modeOf, owned, ownedDirectory, put } from "../harness/fixtures.ts";
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

function forGroup(gid: number, permission: number, mask = 7): p.AclEntry[] {
  return [
    ["user", 6],
    ["group", 0],
    ["namedGroup", permission, gid],
    ["mask", mask],
    ["other", 0],
  ];
}

export const cases = area("acl", {
  "round-trip": () => {
    put("f");
    const acl: p.AclEntry[] = [
      ["user", 7],
      ["namedUser", 5, 1001],
      ["namedUser", 0, 4_000_000_000],
      ["group", 4],
      ["namedGroup", 6, 1002],
      ["mask", 7],
      ["other", 1],
    ];
    p.setAcl("f", acl);
    equal(p.getAcl("f"), acl, "ACL");
    equal(p.listxattr("f"), [ACCESS], "list");
  },
  "none-by-default": () => {
    put("f");
    refuses("ENODATA", () => p.getxattr("f", ACCESS));
  },
  "minimal-becomes-the-mode": () => {
    put("f");
    p.setAcl("f", [
      ["user", 7],
      ["group", 5],
      ["other", 1],
    ]);
    equal(modeOf("f"), 0o751, "mode");
    refuses("ENODATA", () => p.getxattr("f", ACCESS));
  },
  "mask-shows-as-group-bits": () => {
    put("f");
    p.setAcl("f", forUser(1001, 6, 4));
    equal(modeOf("f"), 0o640, "mode");
  },
  "chmod-changes-the-mask": () => {
    put("f");
    p.setAcl("f", forUser(1001, 6, 7));
    p.chmod("f", 0o715);
    equal(
      p.getAcl("f"),
      [
        ["user", 7],
        ["namedUser", 6, 1001],
        ["group", 0],
        ["mask", 1],
        ["other", 5],
      ],
      "ACL",
    );
  },
  "named-user-gets-rights": async (context) => {
    owned("f", 0, 0, 0o600);
    const user = await context.user(1001);
    await rejects("EACCES", user.open("f", p.O_RDWR));
    p.setAcl("f", forUser(1001, 6));
    await user.open("f", p.O_RDWR);
    p.setAcl("f", forUser(1001, 4));
    await user.open("f", p.O_RDONLY);
    await rejects("EACCES", user.open("f", p.O_RDWR));
  },
  "named-user-alone-gets-rights": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setAcl("f", forUser(1001, 6));
    const other = await context.user(1002);
    await rejects("EACCES", other.open("f", p.O_RDONLY));
  },
  "named-user-before-other": async (context) => {
    owned("f", 0, 0, 0o666);
    p.setAcl("f", [
      ["user", 6],
      ["namedUser", 0, 1001],
      ["group", 6],
      ["mask", 7],
      ["other", 6],
    ]);
    const [barred, other] = [await context.user(1001), await context.user(1002)];
    await rejects("EACCES", barred.open("f", p.O_RDONLY));
    await other.open("f", p.O_RDWR);
  },
  "named-group-gets-rights": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setAcl("f", forGroup(1002, 6));
    const [member, supplementary, stranger] = [
      await context.user(1002),
      await context.user(1001, 1001, [1002]),
      await context.user(1001),
    ];
    await member.open("f", p.O_RDWR);
    await supplementary.open("f", p.O_RDWR);
    await rejects("EACCES", stranger.open("f", p.O_RDONLY));
  },
  "one-of-two-groups-suffices": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setAcl("f", [
      ["user", 6],
      ["group", 0],
      ["namedGroup", 0, 1001],
      ["namedGroup", 4, 1002],
      ["mask", 7],
      ["other", 0],
    ]);
    const user = await context.user(1001, 1001, [1002]);
    await user.open("f", p.O_RDONLY);
    await rejects("EACCES", user.open("f", p.O_WRONLY));
  },
  "mask-limits-user-and-group": async (context) => {
    owned("f", 0, 1002, 0o600);
    p.setAcl("f", [
      ["user", 6],
      ["namedUser", 6, 1001],
      ["group", 6],
      ["mask", 4],
      ["other", 0],
    ]);
    const [named, member] = [await context.user(1001), await context.user(1002)];
    for (const user of [named, member]) {
      await user.open("f", p.O_RDONLY);
      await rejects("EACCES", user.open("f", p.O_WRONLY));
    }
  },
  "mask-does-not-limit-the-owner": async (context) => {
    owned("f", 1001, 1001, 0o600);
    p.setAcl("f", forUser(1002, 6, 0));
    const [owner, named] = [await context.user(1001), await context.user(1002)];
    await owner.open("f", p.O_RDWR);
    await rejects("EACCES", named.open("f", p.O_RDONLY));
  },
  "chmod-takes-rights-by-the-mask": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setAcl("f", forUser(1001, 6));
    const user = await context.user(1001);
    await user.open("f", p.O_RDWR);
    p.chmod("f", 0o600);
    await rejects("EACCES", user.open("f", p.O_RDONLY));
    p.chmod("f", 0o660);
    await user.open("f", p.O_RDWR);
  },
  "on-a-directory-search": async (context) => {
    ownedDirectory("d", 0, 0, 0o700);
    put("d/f");
    p.setAcl("d", [
      ["user", 7],
      ["namedUser", 1, 1001],
      ["group", 0],
      ["mask", 7],
      ["other", 0],
    ]);
    const user = await context.user(1001);
    await user.stat("d/f");
    await rejects("EACCES", user.list("d"));
  },
  "on-a-directory-write": async (context) => {
    ownedDirectory("d", 0, 0, 0o700);
    p.setAcl("d", [
      ["user", 7],
      ["namedUser", 7, 1001],
      ["group", 0],
      ["mask", 7],
      ["other", 0],
    ]);
    const user = await context.user(1001);
    await user.mkdir("d/e");
    equal(await user.list("d"), ["e"], "entries");
  },
  "access-2-obeys": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setAcl("f", forUser(1001, 4));
    const user = await context.user(1001);
    await user.access("f", p.R_OK);
    await rejects("EACCES", user.access("f", p.W_OK));
  },
  "owner-sets-it": async (context) => {
    owned("f", 1001, 1001, 0o600);
    const [owner, other] = [await context.user(1001), await context.user(1002)];
    await owner.setAcl("f", forUser(1002, 4));
    await other.open("f", p.O_RDONLY);
    await rejects("EPERM", other.setAcl("f", forUser(1002, 6)));
    await rejects("EPERM", other.removexattr("f", ACCESS));
  },
});
