/** MOUNT_CALL: the new mount API, step by step. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mounts } from "../../src/info/mountinfo.ts";
import { cstring } from "../../src/sys/cstring.ts";
import { E } from "../../src/sys/errno.ts";
import { MNT_DETACH, umount2 } from "../../src/sys/mount.ts";
import { FsConfig, MountAttr, MountCall, MountFlag, OpenTree } from "../../src/wire/constants.ts";
import { MOUNT_OBJECTS_MAX } from "../../src/wire/limits.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer, until } from "../support/server.ts";

const scratch = mkdtempSync("/dev/shm/qtfs-mountcalls-");
const top = join(scratch, "top");
let server: TestServer;
let client: RawClient;

beforeAll(async () => {
  for (const name of ["at", "other", "source/below", "upper", "work"]) {
    mkdirSync(join(top, name), { recursive: true });
  }
  writeFileSync(join(top, "source/file"), "");
  server = await TestServer.start({
    exports: [{ path: top, readOnly: false, allow: ["sysmount"] }],
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

interface Call {
  object?: number;
  /** Below the export's root. */
  at?: string;
  flags?: number;
  values?: [number, number, number];
  text?: string;
}

/** errno, or the object and text that a call gives. */
function call(which: keyof typeof MountCall, given: Call) {
  const { object = 0, at, flags = 0, values = [0, 0, 0], text = "" } = given;
  const place = at === undefined ? [0, ""] : [1, at];
  const args = [MountCall[which], object, ...place, flags, ...values];
  const { errno, results } = client.call("MOUNT_CALL", args, Buffer.from(text));
  return { errno, object: (results[0] ?? 0) as number, text: String(results[1] ?? "") };
}

function made(which: keyof typeof MountCall, given: Call): number {
  const { errno, object } = call(which, given);
  expect([which, errno, object > 0]).toEqual([which, 0, true]);
  return object;
}

const errno = (which: keyof typeof MountCall, given: Call) => call(which, given).errno;
const config = (object: number, flags: number, text = "", at?: string) =>
  errno("FSCONFIG", { object, flags, text, ...(at !== undefined && { at }) });
const lineOf = (name: string) => mounts().findLast((one) => one.mountpoint === join(top, name));

test("a file system is configured, mounted nowhere, and put in place", () => {
  const context = made("FSOPEN", { text: "tmpfs" });
  expect(config(context, FsConfig.SET_STRING, "source\0its name")).toBe(0);
  expect(config(context, FsConfig.SET_STRING, "size\0" + "1m")).toBe(0);
  expect(config(context, FsConfig.CREATE)).toBe(0);
  const mount = made("FSMOUNT", { object: context, values: [MountAttr.NOEXEC, 0, 0] });
  expect(lineOf("at")).toBeUndefined();
  expect(errno("MOVE_MOUNT", { object: mount, at: "at" })).toBe(0);
  expect(lineOf("at")).toMatchObject({ type: "tmpfs", source: "its name" });
  for (const object of [context, mount]) {
    expect(errno("CLOSE", { object })).toBe(0);
    expect(errno("CLOSE", { object })).toBe(E.EBADF);
  }
  expect(client.errno("UMOUNT", 1, "at", 0)).toBe(0);
});

test("an overlay's directories are places", () => {
  const context = made("FSOPEN", { text: "overlay" });
  expect(config(context, FsConfig.SET_FD, "upperdir", "upper")).toBe(0);
  expect(config(context, FsConfig.SET_FD, "workdir", "work")).toBe(0);
  expect(config(context, FsConfig.SET_FD, "lowerdir+", "source")).toBe(0);
  expect(config(context, FsConfig.CREATE)).toBe(0);
  const mount = made("FSMOUNT", { object: context });
  expect(errno("MOVE_MOUNT", { object: mount, at: "at" })).toBe(0);
  expect(existsSync(join(top, "at/file"))).toBe(true);
  for (const object of [context, mount]) expect(errno("CLOSE", { object })).toBe(0);
});

test("the kernel's words on a failure come with LOG, then there are none", () => {
  const context = made("FSOPEN", { text: "tmpfs" });
  expect(config(context, FsConfig.SET_STRING, "nosuch\0x")).toBe(E.EINVAL);
  expect(call("LOG", { object: context }).text).toContain("nosuch");
  expect(errno("LOG", { object: context })).toBe(E.ENODATA);
  expect(errno("CLOSE", { object: context })).toBe(0);
});

test("a tree is taken, changed all over, and put elsewhere", () => {
  const tmpfs = [0, "", 1, "source/below", "x", "tmpfs", 0];
  expect(client.call("MOUNT", tmpfs).errno).toBe(0);
  const tree = made("OPEN_TREE", { at: "source", flags: OpenTree.CLONE | OpenTree.RECURSIVE });
  const readOnly: [number, number, number] = [MountAttr.RDONLY, 0, MountFlag.PRIVATE];
  expect(errno("SETATTR", { object: tree, flags: OpenTree.RECURSIVE, values: readOnly })).toBe(0);
  expect(errno("MOVE_MOUNT", { object: tree, at: "at" })).toBe(0);
  expect(errno("CLOSE", { object: tree })).toBe(0);
  expect(() => writeFileSync(join(top, "at/below/new"), "")).toThrow("EROFS");
  writeFileSync(join(top, "source/below/new"), "");
  expect(errno("SETATTR", { at: "at/below", values: [0, MountAttr.RDONLY, 0] })).toBe(0);
  writeFileSync(join(top, "at/below/new"), "");
});

test("a file system that is mounted is picked and reconfigured", () => {
  expect(client.call("MOUNT", [0, "", 1, "at", "x", "tmpfs", 0]).errno).toBe(0);
  const context = made("FSPICK", { at: "at" });
  expect(config(context, FsConfig.SET_FLAG, "ro")).toBe(0);
  expect(config(context, FsConfig.RECONFIGURE)).toBe(0);
  expect(errno("CLOSE", { object: context })).toBe(0);
  expect(() => writeFileSync(join(top, "at/new"), "")).toThrow("EROFS");
});

test("the HOST's errno arrive, and unknown things are refused", () => {
  expect(errno("FSOPEN", { text: "nosuch" })).toBe(E.ENODEV);
  expect(errno("FSPICK", { at: "source" })).toBe(E.EINVAL);
  expect(errno("OPEN_TREE", { at: "nowhere" })).toBe(E.ENOENT);
  expect(errno("OPEN_TREE", { at: "source", flags: 0x10 })).toBe(E.EINVAL);
  expect(errno("MOVE_MOUNT", { object: 77, at: "at" })).toBe(E.EBADF);
  expect(errno("MOVE_MOUNT", { at: "at" })).toBe(E.EBADF);
  expect(errno("SETATTR", { at: "source", values: [MountAttr.RDONLY, 0, 0] })).toBe(E.EINVAL);
  const context = made("FSOPEN", { text: "tmpfs" });
  expect(config(context, 99)).toBe(E.EOPNOTSUPP);
  expect(errno("FSMOUNT", { object: context })).toBe(E.EINVAL);
  expect(errno("CLOSE", { object: context })).toBe(0);
  expect(client.errno("MOUNT_CALL", 99, 0, 0, "", 0, 0, 0, 0)).toBe(E.ENOSYS);
});

test("objects are bounded, and end with their session", async () => {
  const before = server.descriptors();
  for (let i = 0; i < MOUNT_OBJECTS_MAX; i++) made("OPEN_TREE", { at: "source" });
  expect(errno("OPEN_TREE", { at: "source" })).toBe(E.EMFILE);
  expect(server.descriptors() - before).toBeGreaterThanOrEqual(MOUNT_OBJECTS_MAX);
  server.hangUp(client);
  client = server.client(top);
  await until(() => server.descriptors() <= before, "they are closed");
});

test("what the export does not allow is EPERM", () => {
  const share = server.client();
  expect(share.errno("MOUNT_CALL", MountCall.FSOPEN, 0, 0, "", 0, 0, 0, 0)).toBe(E.EPERM);
});
