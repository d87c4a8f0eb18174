/** MOUNT and UMOUNT: who may, what the HOST's kernel is told, and what it says. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { mounts } from "../../src/info/mountinfo.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { MNT_DETACH, umount2 } from "../../src/sys/mount.ts";
import { MountFlag, UmountFlag } from "../../src/wire/constants.ts";
import { MOUNT_DATA_MAX } from "../../src/wire/limits.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const scratch = mkdtempSync("/dev/shm/qtfs-mounts-");
const top = join(scratch, "top");
const frozen = join(scratch, "frozen");
let server: TestServer;
let client: RawClient;

beforeAll(async () => {
  for (const name of ["top/at", "top/other", "top/source/below", "frozen"]) {
    mkdirSync(join(scratch, name), { recursive: true });
  }
  writeFileSync(join(top, "source/file"), "to be bound");
  writeFileSync(join(top, "file"), "");
  symlinkSync("at", join(top, "link"));
  server = await TestServer.start({
    prepare: ({ share }) => mkdirSync(join(share, "at")),
    exports: [
      { path: top, readOnly: false, allow: ["sysmount"] },
      { path: frozen, readOnly: true, allow: ["sysmount"] },
    ],
  });
  client = server.client(top);
});
afterEach(() => {
  for (const { mountpoint } of mounts().reverse()) {
    if (mountpoint.startsWith(top)) umount2(cstring(mountpoint), MNT_DETACH);
  }
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
  rmSync(scratch, { recursive: true });
});

interface Mount {
  from?: string;
  source?: string;
  type?: string;
  flags?: number;
  data?: string;
}

/** errno of mounting at `at`. */
function mount(at: string, { from, source = "", type = "", flags = 0, data = "" }: Mount): number {
  const args = [from === undefined ? 0 : 1, from ?? "", 1, at, source, type, flags];
  return client.call("MOUNT", args, Buffer.from(data)).errno;
}

const umount = (at: string, flags = 0) => client.errno("UMOUNT", 1, at, flags);
const tmpfs: Mount = { source: "the source", type: "tmpfs" };
const lineOf = (name: string) => mounts().findLast((one) => one.mountpoint === join(top, name));

test("a file system is mounted with its flags and options, and unmounted", () => {
  const flags = MountFlag.NOEXEC | MountFlag.NOSUID;
  expect(mount("at", { ...tmpfs, flags, data: "size=1m,mode=0751" })).toBe(0);
  expect(lineOf("at")).toMatchObject({ type: "tmpfs", source: "the source" });
  const text = readFileSync("/proc/self/mountinfo", "utf8");
  const line = text.split("\n").find((one) => one.includes(`${top}/at`));
  expect(line).toMatch(/ rw,nosuid,noexec,relatime .* rw,size=1024k,mode=751/);
  expect(umount("at")).toBe(0);
  expect(lineOf("at")).toBeUndefined();
});

test("a directory is bound, made read only, moved and unmounted", () => {
  expect(mount("at", { from: "source", flags: MountFlag.BIND })).toBe(0);
  expect(existsSync(join(top, "at/file"))).toBe(true);
  const readOnly = MountFlag.REMOUNT | MountFlag.BIND | MountFlag.RDONLY;
  expect(mount("at", { flags: readOnly })).toBe(0);
  expect(() => writeFileSync(join(top, "at/new"), "")).toThrow("EROFS");
  expect(mount("other", { from: "at", flags: MountFlag.MOVE })).toBe(0);
  expect([existsSync(join(top, "at/file")), existsSync(join(top, "other/file"))]).toEqual([
    false,
    true,
  ]);
  expect(umount("other")).toBe(0);
});

test("of an inode that is mounted twice the path tells which mount is meant", () => {
  expect(mount("source/below", tmpfs)).toBe(0);
  expect(mount("at", { from: "source", flags: MountFlag.BIND | MountFlag.REC })).toBe(0);
  expect(umount("at/below")).toBe(0);
  expect([lineOf("at/below"), lineOf("source/below")?.type]).toEqual([undefined, "tmpfs"]);
  expect(umount("source")).toBe(E.EINVAL);
  expect(umount("at")).toBe(0);
});

test("how a mount propagates can be changed", () => {
  expect(mount("at", tmpfs)).toBe(0);
  expect(mount("at", { flags: MountFlag.SHARED })).toBe(0);
  const text = () => readFileSync("/proc/self/mountinfo", "utf8");
  expect(text()).toMatch(new RegExp(`${top}/at .* shared:`));
  expect(mount("at", { flags: MountFlag.PRIVATE })).toBe(0);
  expect(text()).not.toMatch(new RegExp(`${top}/at .* shared:`));
  expect(mount("at", { flags: MountFlag.SHARED | MountFlag.PRIVATE })).toBe(E.EINVAL);
});

test("the HOST's errno arrive", () => {
  expect(mount("at", { type: "nosuch", source: "x" })).toBe(E.ENODEV);
  expect(mount("nowhere", tmpfs)).toBe(E.ENOENT);
  expect(mount("file", tmpfs)).toBe(E.ENOTDIR);
  expect(mount("at", { type: "ext4", source: join(top, "file") })).toBe(E.ENOTBLK);
  expect(mount("at", { type: "ext4", source: "/nowhere" })).toBe(E.ENOENT);
  expect(mount("at", { ...tmpfs, data: "nosuch=1" })).toBe(E.EINVAL);
  expect(mount("at", { flags: MountFlag.REMOUNT })).toBe(E.EINVAL);
  expect(mount("at", { from: "source", flags: MountFlag.MOVE })).toBe(E.EINVAL);
  expect(umount("at")).toBe(E.EINVAL);
  expect(umount("nowhere")).toBe(E.ENOENT);
  expect(umount("", 0)).toBe(E.EBUSY);
  expect(umount("at", UmountFlag.EXPIRE | UmountFlag.FORCE)).toBe(E.EINVAL);
  expect(umount("at", 0x10)).toBe(E.EINVAL);
});

test("a busy mount stays, and goes lazily; EXPIRE takes two calls", () => {
  expect(mount("at", tmpfs)).toBe(0);
  const child = Bun.spawn(["sleep", "60"], { cwd: join(top, "at") });
  expect(umount("at")).toBe(E.EBUSY);
  expect(umount("at", UmountFlag.DETACH)).toBe(0);
  child.kill("SIGKILL");
  expect(mount("at", tmpfs)).toBe(0);
  expect(umount("at", UmountFlag.EXPIRE)).toBe(E.EAGAIN);
  expect(umount("at", UmountFlag.EXPIRE)).toBe(0);
});

test("symbolic links of the HOST lead nowhere", () => {
  expect(mount("link", tmpfs)).not.toBe(0);
  expect(mount("link/below", tmpfs)).toBe(E.ELOOP);
  expect(umount("link/below")).toBe(E.ELOOP);
  expect(mount("at", { from: "link", flags: MountFlag.BIND })).not.toBe(0);
  expect(mounts().some(({ mountpoint }) => mountpoint.startsWith(top))).toBe(false);
});

test("what the export does not allow by name is EPERM; a read-only one changes nothing", () => {
  const share = server.client();
  const args = [0, "", 1, "at", "x", "tmpfs", 0];
  expect(share.call("MOUNT", args).errno).toBe(E.EPERM);
  expect(share.errno("UMOUNT", 1, "at", 0)).toBe(E.EPERM);
  const readOnly = server.client(frozen);
  expect(readOnly.call("MOUNT", [0, "", 1, "", "x", "tmpfs", 0]).errno).toBe(E.EROFS);
});

test.each(["..", "a/../b", "/etc", "a//b", "./a", "a/", "a\0b"])(
  "the path %p ends the connection",
  (path) => {
    const hostile = server.client(top);
    hostile.send(0, "UMOUNT", [1, path, 0]);
    expect(hostile.ended()?.[1]).toContain("path is not normal");
  },
);

test("too much data ends the connection", () => {
  const hostile = server.client(top);
  const data = Buffer.alloc(MOUNT_DATA_MAX + 1, "x");
  hostile.send(0, "MOUNT", [0, "", 1, "at", "x", "tmpfs", 0], data);
  expect(hostile.ended()?.[1]).toContain("mount data is too long");
});
