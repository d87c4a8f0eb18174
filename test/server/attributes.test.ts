/** GETATTR, SETATTR, STATX, STATFS, SYNCFS, extended attributes, IOCTL and POLL. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statfsSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { Goodbye, OpenFlag, SetAttr, SetXattr } from "../../src/wire/constants.ts";
import { Event, Oneway } from "../../src/wire/ops.ts";
import { attributesOf, entryOf, type NamedAttributes } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const RDWR = OpenFlag.READ | OpenFlag.WRITE;
const GETFLAGS = 0x80086601;
const SETFLAGS = 0x40086602;
const FS_NODUMP = 0x40;

let server: TestServer;
let client: RawClient;
let counter = 0;
let dir = "";
let at = 0;

const path = (name: string) => `${dir}/${name}`;
const look = (name: string) => entryOf(client.ok("LOOKUP", at, name)).node;
const open = (node: number, flags: number) => client.ok("OPEN", node, flags, 0)[0] as number;

/** SETATTR of the fields given, with `valid` bits. */
function setattr(node: number, valid: number, fields: Partial<NamedAttributes>, handle = 0) {
  const { mode = 0, uid = 0, gid = 0, size = 0, atime = 0, atimeNs = 0 } = fields;
  const { mtime = 0, mtimeNs = 0 } = fields;
  const args = [node, handle, valid, mode, uid, gid, size, atime, atimeNs, mtime, mtimeNs];
  return client.call("SETATTR", args);
}

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(() => {
  const name = `d${counter++}`;
  dir = server.path(name);
  mkdirSync(dir);
  client = server.client();
  at = entryOf(client.ok("LOOKUP", client.root, name)).node;
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("GETATTR by node and by handle agree with the HOST", () => {
  writeFileSync(path("f"), "data");
  const node = look("f");
  const host = lstatSync(path("f"));
  for (const handle of [0, open(node, OpenFlag.READ)]) {
    expect(attributesOf(client.ok("GETATTR", node, handle))).toMatchObject({
      ino: host.ino,
      size: 4,
      mode: host.mode,
      nlink: 1,
    });
  }
  expect(client.errno("GETATTR", 99_999, 0)).toBe(E.ESTALE);
  expect(client.errno("GETATTR", node, 99_999)).toBe(E.EBADF);
});

test("GETATTR sees at once what the HOST changes", () => {
  writeFileSync(path("f"), "data");
  const node = look("f");
  writeFileSync(path("f"), "more data");
  chmodSync(path("f"), 0o600);
  expect(attributesOf(client.ok("GETATTR", node, 0))).toMatchObject({ size: 9, mode: 0o100600 });
});

test("SETATTR changes what its bits say and nothing else", () => {
  writeFileSync(path("f"), "0123456789");
  chmodSync(path("f"), 0o644);
  utimesSync(path("f"), 1000, 2000);
  const node = look("f");
  const all = { mode: 0o600, uid: 1, gid: 2, size: 3, atime: 4, mtime: 5 };
  const expected = { mode: 0o100644, uid: 0, gid: 0, size: 10, atime: 1000, mtime: 2000 };
  const expectNow = (changes: object) => {
    expect(attributesOf(client.ok("GETATTR", node, 0))).toMatchObject(
      Object.assign(expected, changes),
    );
  };
  setattr(node, 0, all);
  expectNow({});
  setattr(node, SetAttr.MODE, { ...all, mode: 0o102751 });
  expectNow({ mode: 0o102751 });
  setattr(node, SetAttr.UID, { ...all, uid: 1234 });
  expectNow({ uid: 1234, mode: 0o100751 });
  setattr(node, SetAttr.GID, { ...all, gid: 4321 });
  expectNow({ gid: 4321 });
  setattr(node, SetAttr.ATIME, { ...all, atime: -5, atimeNs: 7 });
  expectNow({ atime: -5, atimeNs: 7 });
  setattr(node, SetAttr.MTIME, { ...all, mtime: 5_000_000_000, mtimeNs: 999_999_999 });
  expectNow({ mtime: 5_000_000_000, mtimeNs: 999_999_999 });
  const answer = setattr(node, SetAttr.SIZE | SetAttr.MTIME, { ...all, size: 4 });
  expect(attributesOf(answer.results)).toMatchObject({ size: 4, mtime: 5 });
  expect(readFileSync(path("f"), "utf8")).toBe("0123");
});

test("SETATTR sets times to the HOST's now", () => {
  writeFileSync(path("f"), "");
  utimesSync(path("f"), 1000, 2000);
  const node = look("f");
  const before = Date.now() / 1000 - 1;
  setattr(node, SetAttr.ATIME_NOW, {});
  expect(attributesOf(client.ok("GETATTR", node, 0)).mtime).toBe(2000);
  expect(attributesOf(client.ok("GETATTR", node, 0)).atime).toBeGreaterThan(before);
  setattr(node, SetAttr.MTIME_NOW | SetAttr.ATIME, { atime: 3000 });
  const { atime, mtime } = attributesOf(client.ok("GETATTR", node, 0));
  expect(atime).toBe(3000);
  expect(mtime).toBeGreaterThan(before);
});

test("SETATTR of a size by handle works on a file that lost its name", () => {
  writeFileSync(path("f"), "0123456789");
  const node = look("f");
  const handle = open(node, RDWR);
  unlinkSync(path("f"));
  const answer = setattr(node, SetAttr.SIZE, { size: 100_000 }, handle);
  expect(attributesOf(answer.results)).toMatchObject({ size: 100_000, nlink: 0 });
  const reader = open(node, OpenFlag.READ);
  expect(setattr(node, SetAttr.SIZE, { size: 1 }, reader).errno).toBe(E.EINVAL);
  expect(setattr(node, SetAttr.SIZE, { size: 1 }, 9999).errno).toBe(E.EBADF);
});

test("SETATTR of a size clears set-user-id where the client says so", () => {
  writeFileSync(path("f"), "0123456789");
  chmodSync(path("f"), 0o4755);
  const node = look("f");
  setattr(node, SetAttr.SIZE, { size: 5 });
  expect(statSync(path("f")).mode).toBe(0o104755);
  setattr(node, SetAttr.SIZE | SetAttr.KILL_SUIDGID, { size: 4 });
  expect(statSync(path("f")).mode).toBe(0o100755);
});

test("SETATTR on what cannot be changed so", () => {
  expect(setattr(at, SetAttr.SIZE, { size: 1 }).errno).toBe(E.EISDIR);
  writeFileSync(path("f"), "");
  const node = look("f");
  expect(setattr(node, SetAttr.SIZE, { size: Number.MAX_SAFE_INTEGER }).errno).toBe(E.EFBIG);
  expect(setattr(node, SetAttr.MTIME, { mtimeNs: 1_000_000_000 }).errno).toBe(E.EINVAL);
  expect(setattr(99_999, SetAttr.MODE, { mode: 0 }).errno).toBe(E.ESTALE);
});

test("a symbolic link's owner and times are its own", () => {
  symlinkSync("/etc/passwd", path("l"));
  const before = statSync("/etc/passwd");
  const node = look("l");
  expect(setattr(node, SetAttr.UID | SetAttr.GID, { uid: 1000, gid: 1000 }).errno).toBe(0);
  expect(setattr(node, SetAttr.MTIME, { mtime: 77 }).errno).toBe(0);
  expect(lstatSync(path("l"))).toMatchObject({ uid: 1000, gid: 1000, mtimeMs: 77_000 });
  expect(statSync("/etc/passwd")).toMatchObject({ uid: before.uid, mtimeMs: before.mtimeMs });
});

test("STATX adds when it was born", () => {
  writeFileSync(path("f"), "");
  const node = look("f");
  const [born, birth, birthNs, flags] = client.ok("STATX", node, 0).slice(16);
  const { birthtimeNs } = lstatSync(path("f"), { bigint: true });
  expect(born).toBe(1);
  expect(BigInt(birth as number) * 1_000_000_000n + BigInt(birthNs as number)).toBe(birthtimeNs);
  expect(flags).toBe(0);
  expect(client.ok("STATX", node, open(node, OpenFlag.READ)).length).toBe(20);
  expect(client.errno("STATX", 99_999, 0)).toBe(E.ESTALE);
});

test("STATFS is the HOST's", () => {
  const host = statfsSync(dir);
  const [blocks, , , files, , bsize, namelen, frsize, type] = client.ok("STATFS", at);
  expect({ blocks, files, bsize, type }).toEqual({
    blocks: host.blocks,
    files: host.files,
    bsize: host.bsize,
    type: host.type,
  });
  expect([namelen, frsize]).toEqual([255, host.bsize]);
  expect(client.errno("STATFS", 99_999)).toBe(E.ESTALE);
});

test("SYNCFS is for directories, and never waits for a FIFO", () => {
  expect(client.errno("SYNCFS", at)).toBe(0);
  Bun.spawnSync(["mkfifo", path("p")]);
  expect(client.errno("SYNCFS", look("p"))).toBe(E.ENOTDIR);
  expect(client.errno("SYNCFS", 99_999)).toBe(E.ESTALE);
});

test("extended attributes: set, get, list, remove, and every errno of theirs", () => {
  writeFileSync(path("f"), "");
  const node = look("f");
  const set = (name: string, value: string, flags = 0) =>
    client.call("SETXATTR", [node, name, flags, Buffer.byteLength(value)], Buffer.from(value))
      .errno;
  expect(set("user.a", "value", SetXattr.REPLACE)).toBe(E.ENODATA);
  expect(set("user.a", "value", SetXattr.CREATE)).toBe(0);
  expect(set("user.a", "value", SetXattr.CREATE)).toBe(E.EEXIST);
  expect(set("user.empty", "")).toBe(0);
  expect(set("nonsense", "x")).toBe(E.EOPNOTSUPP);
  expect(set("trusted.t", "\0\xff")).toBe(0);
  expect(client.ok("GETXATTR", node, "user.a", 0)).toEqual([5]);
  const got = client.call("GETXATTR", [node, "user.a", 100]);
  expect([got.results, String(got.payload)]).toEqual([[5], "value"]);
  expect(client.call("GETXATTR", [node, "user.empty", 100]).results).toEqual([0]);
  expect(client.errno("GETXATTR", node, "user.a", 4)).toBe(E.ERANGE);
  expect(client.errno("GETXATTR", node, "user.none", 4)).toBe(E.ENODATA);
  const names = client.call("LISTXATTR", [node, 1000]);
  expect(String(names.payload).split("\0").sort()).toEqual(
    ["", "trusted.t", "user.a", "user.empty"].sort(),
  );
  expect(client.ok("LISTXATTR", node, 0)).toEqual([names.payload.length]);
  expect(client.errno("LISTXATTR", node, 3)).toBe(E.ERANGE);
  client.ok("REMOVEXATTR", node, "user.a");
  expect(client.errno("REMOVEXATTR", node, "user.a")).toBe(E.ENODATA);
});

test("a long value of an extended attribute arrives whole", async () => {
  const shm = await TestServer.start({ below: "/dev/shm" });
  writeFileSync(shm.path("f"), "");
  const other = shm.client();
  const { node } = entryOf(other.ok("LOOKUP", 1, "f"));
  const value = Buffer.from(crypto.getRandomValues(new Uint8Array(65536)).buffer);
  const set = other.call("SETXATTR", [node, "trusted.long", 0, value.length], value);
  expect(set.errno).toBe(0);
  const got = other.call("GETXATTR", [node, "trusted.long", 65536]);
  expect(got.results).toEqual([65536]);
  expect(got.payload.equals(value)).toBe(true);
  await shm.stop();
});

test("extended attributes of a symbolic link are not its target's", () => {
  writeFileSync(path("f"), "");
  symlinkSync("f", path("l"));
  const link = look("l");
  const set = (name: string) => client.call("SETXATTR", [link, name, 0, 1], Buffer.from("x"));
  expect(set("user.a").errno).toBe(E.EPERM);
  expect(set("trusted.a").errno).toBe(0);
  expect(client.errno("GETXATTR", look("f"), "trusted.a", 10)).toBe(E.ENODATA);
});

test.each([
  ["a value of another length", "SETXATTR", [1, "user.a", 0, 9], Buffer.from("x")],
  ["a value too long", "SETXATTR", [1, "user.a", 0, 65537], Buffer.alloc(65537)],
  ["a name with a NUL", "SETXATTR", [1, "user.\0a", 0, 1], Buffer.from("x")],
  ["a name too long", "SETXATTR", [1, "n".repeat(256), 0, 1], Buffer.from("x")],
  ["more than an attribute has", "GETXATTR", [1, "user.a", 65537], undefined],
] as const)("%s ends the connection", (_, op, args, payload) => {
  client.send(0, op, [...args], payload);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("IOCTL carries inode flags, of files by handle and of directories by node", () => {
  writeFileSync(path("f"), "");
  const node = look("f");
  const handle = open(node, RDWR);
  const ioctl = (of: number, through: number, command: number, argument = Buffer.alloc(8)) =>
    client.call("IOCTL", [of, through, command, argument.length], argument);
  const before = ioctl(node, handle, GETFLAGS);
  expect([before.errno, before.results, before.payload.length]).toEqual([0, [0], 8]);
  const flags = Buffer.alloc(8);
  flags.writeUInt32LE(before.payload.readUInt32LE() | FS_NODUMP);
  expect(ioctl(node, handle, SETFLAGS, flags).errno).toBe(0);
  expect(ioctl(node, handle, GETFLAGS).payload.readUInt32LE() & FS_NODUMP).toBe(FS_NODUMP);
  expect(ioctl(at, 0, GETFLAGS).errno).toBe(0);
  expect(ioctl(node, handle, 0x5413).errno).toBe(E.ENOTTY);
  expect(ioctl(node, 9999, GETFLAGS).errno).toBe(E.EBADF);
  client.send(0, "IOCTL", [node, handle, GETFLAGS, 9], Buffer.alloc(9));
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("IOCTL opens no device and waits for no FIFO", () => {
  Bun.spawnSync(["mkfifo", path("p")]);
  Bun.spawnSync(["mknod", path("null"), "c", "1", "3"]);
  for (const name of ["p", "null"]) {
    expect(client.call("IOCTL", [look(name), 0, GETFLAGS, 8], Buffer.alloc(8)).errno).toBe(
      E.ENOTTY,
    );
  }
});

test("POLL of an ordinary file is ready at once", () => {
  writeFileSync(path("f"), "");
  const handle = open(look("f"), RDWR);
  expect(client.ok("POLL", handle, 0x1 | 0x4, 0)).toEqual([0x1 | 0x4]);
  expect(client.errno("POLL", 0, 1, 0)).toBe(E.EBADF);
});

test("POLL of a file of the kernel's tells when it becomes ready", async () => {
  const cgroup = "/proc/self/mounts";
  const host = await TestServer.start({ exports: [{ path: "/proc", readOnly: true }] });
  const other = host.client("/proc");
  const pid = entryOf(other.ok("LOOKUP", 1, String(host.pid))).node;
  const { node } = entryOf(other.ok("LOOKUP", pid, "mounts"));
  const [handle, result] = other.ok("OPEN", node, OpenFlag.READ, 1) as [number, number];
  expect(result).toBe(2);
  const wakeup = 0x1234_5678_9abc_def0n;
  const PRIORITY = 0x2 | 0x8;
  // What others mount meanwhile is reported once.
  while (other.ok("POLL", handle, PRIORITY, wakeup)[0] !== 0);
  const target = `${host.share}/mount`;
  mkdirSync(target);
  expect(Bun.spawnSync(["mount", "-t", "tmpfs", "none", target]).exitCode).toBe(0);
  expect(other.event()).toEqual([Event.POLL_READY, wakeup]);
  // It counts as lost: it is told again.
  other.eventCount--;
  const again = host.resumed(other);
  expect(again.event()).toEqual([Event.POLL_READY, wakeup]);
  // The file tells of it once, to the server; it is answered all the same.
  expect(again.ok("POLL", handle, PRIORITY, 0)).toEqual([PRIORITY]);
  while (again.ok("POLL", handle, PRIORITY, wakeup)[0] !== 0);
  // Ready while nobody is connected: told to the next connection.
  again.transport.close();
  Bun.spawnSync(["umount", target]);
  const last = host.resumed(again);
  expect(last.event()).toEqual([Event.POLL_READY, wakeup]);
  expect(readFileSync(cgroup, "utf8").length).toBeGreaterThan(0);
  last.oneway(Oneway.RELEASE, handle);
  await host.stop();
});

test("files made when they are read say so, and are read to their end", async () => {
  const host = await TestServer.start({ exports: [{ path: "/proc", readOnly: true }] });
  const other = host.client("/proc");
  const entry = entryOf(other.ok("LOOKUP", 1, "version"));
  expect([entry.size, entry.policy]).toEqual([0, 1]);
  const [handle] = other.ok("OPEN", entry.node, OpenFlag.READ, 1) as [number];
  const { payload } = other.call("READ", [handle, 0, 256 * 1024]);
  expect(String(payload)).toBe(readFileSync("/proc/version", "utf8"));
  await host.stop();
});

test("caller's ids beyond 2^31 are kept", () => {
  const id = 0xffff_fffe;
  client.ok("MKDIR", at, "d", 0o755, 0, id, id, id);
  expect(lstatSync(path("d"))).toMatchObject({ uid: id, gid: id });
  chownSync(path("d"), 0, 0);
  expect(setattr(look("d"), SetAttr.UID, { uid: id }).errno).toBe(0);
  expect(lstatSync(path("d")).uid).toBe(id);
});

test("writing on the HOST through another descriptor is seen by a handle", () => {
  const fd = openSync(path("f"), "w");
  const handle = open(look("f"), OpenFlag.READ);
  writeSync(fd, "from the HOST");
  closeSync(fd);
  expect(String(client.call("READ", [handle, 0, 100]).payload)).toBe("from the HOST");
});
