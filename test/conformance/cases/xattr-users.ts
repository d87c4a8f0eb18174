/** Who may read and write which extended attribute. */
import { area } from "../harness/case.ts";
import { equal, holds, rejects } from "../harness/expect.ts";
import { owned, ownedDirectory } from "../harness/fixtures.ts";
import * as p from "../posix/index.ts";

export const cases = area("xattr-users", {
  "user-needs-read-permission": async (context) => {
    owned("f", 0, 0, 0o600);
    p.setxattr("f", "user.a", "1");
    const user = await context.user(1001);
    await rejects("EACCES", user.getxattr("f", "user.a"));
    p.chmod("f", 0o644);
    holds(await user.getxattr("f", "user.a"), "1", "value");
  },
  "user-needs-write-permission": async (context) => {
    owned("f", 0, 0, 0o644);
    const user = await context.user(1001);
    await rejects("EACCES", user.setxattr("f", "user.a", "1"));
    p.setxattr("f", "user.a", "1");
    await rejects("EACCES", user.removexattr("f", "user.a"));
    p.chmod("f", 0o666);
    await user.setxattr("f", "user.a", "2");
    holds(p.getxattr("f", "user.a"), "2", "value");
  },
  "user-on-sticky-directory-of-another": async (context) => {
    ownedDirectory("d", 0, 0, 0o1777);
    const user = await context.user(1001);
    await rejects("EPERM", user.setxattr("d", "user.a", "1"));
    p.chmod("d", 0o777);
    await user.setxattr("d", "user.a", "1");
  },
  "user-on-fifo-is-not-read": async (context) => {
    p.mknod("fifo", p.S_IFIFO | 0o600);
    p.chmod("fifo", 0o666);
    const user = await context.user(1001);
    await rejects("ENODATA", user.getxattr("fifo", "user.a"));
    await rejects("EPERM", user.setxattr("fifo", "user.a", "1"));
  },
  "trusted-is-hidden": async (context) => {
    owned("f", 1001, 1001, 0o644);
    p.setxattr("f", "trusted.a", "1");
    p.setxattr("f", "user.b", "1");
    const user = await context.user(1001);
    await rejects("ENODATA", user.getxattr("f", "trusted.a"));
    await rejects("EPERM", user.setxattr("f", "trusted.a", "2"));
    await rejects("EPERM", user.removexattr("f", "trusted.a"));
    equal(await user.listxattr("f"), ["user.b"], "list");
  },
  "security-is-read-not-written": async (context) => {
    owned("f", 1001, 1001, 0o644);
    p.setxattr("f", "security.note", "1");
    const user = await context.user(1001);
    holds(await user.getxattr("f", "security.note"), "1", "value");
    await rejects("EPERM", user.setxattr("f", "security.note", "2"));
    await rejects("EPERM", user.removexattr("f", "security.note"));
  },
  "capability-by-the-owner": async (context) => {
    owned("f", 1001, 1001, 0o755);
    const value = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const user = await context.user(1001);
    await rejects("EPERM", user.setxattr("f", "security.capability", value));
  },
  "acl-by-another": async (context) => {
    owned("f", 0, 0, 0o666);
    const user = await context.user(1001);
    const acl = p.encodeAcl([
      ["user", 6],
      ["group", 6],
      ["other", 6],
    ]);
    await rejects("EPERM", user.setxattr("f", p.ACCESS, acl));
  },
  "list-needs-no-permission": async (context) => {
    owned("f", 0, 0, 0);
    p.setxattr("f", "user.a", "1");
    const user = await context.user(1001);
    equal(await user.listxattr("f"), ["user.a"], "list");
  },
});
