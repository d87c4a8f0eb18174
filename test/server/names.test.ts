/** LOOKUP, the operations that make, remove, rename and link, and READLINK. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { FileType, Goodbye, OpenFlag, Policy, Rename } from "../../src/wire/constants.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const CALLER = [0o022, 0, 0, -1] as const;

let server: TestServer;
let client: RawClient;
let root = 0;
let counter = 0;
let dir = "";
/** Node of `dir`, a fresh directory for each test. */
let at = 0;

const path = (name: string) => `${dir}/${name}`;
const look = (name: string, parent = at) => entryOf(client.ok("LOOKUP", parent, name));

function dataOf(node: number): string {
  const [handle] = client.ok("OPEN", node, 1, 0) as [number];
  return String(client.call("READ", [handle, 0, 100]).payload);
}

beforeAll(async () => {
  server = await TestServer.start();
});
beforeEach(() => {
  const name = `d${counter++}`;
  dir = server.path(name);
  mkdirSync(dir);
  client = server.client();
  root = client.root;
  at = look(name, root).node;
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

test("LOOKUP describes what is there", () => {
  writeFileSync(path("f"), "12345");
  chmodSync(path("f"), 0o640);
  chownSync(path("f"), 1000, 1001);
  const host = lstatSync(path("f"), { bigint: true });
  expect(look("f")).toMatchObject({
    ino: Number(host.ino),
    size: 5,
    blocks: Number(host.blocks),
    mtime: Number(host.mtimeNs / 1_000_000_000n),
    mtimeNs: Number(host.mtimeNs % 1_000_000_000n),
    ctimeNs: Number(host.ctimeNs % 1_000_000_000n),
    mode: 0o100640,
    nlink: 1,
    uid: 1000,
    gid: 1001,
    rdev: 0,
    blksize: 4096,
    policy: Policy.WATCHED,
  });
});

test("LOOKUP tells hard links as one node and other files as others", () => {
  writeFileSync(path("a"), "");
  linkSync(path("a"), path("b"));
  writeFileSync(path("c"), "");
  expect(look("a").node).toBe(look("b").node);
  expect(look("a").node).not.toBe(look("c").node);
});

test("LOOKUP never follows a symbolic link", () => {
  symlinkSync("/etc/passwd", path("l"));
  expect(look("l").mode & FileType.MASK).toBe(FileType.SYMLINK);
});

test("LOOKUP says what is missing and what is no directory", () => {
  writeFileSync(path("f"), "");
  expect(client.errno("LOOKUP", at, "none")).toBe(E.ENOENT);
  expect(client.errno("LOOKUP", look("f").node, "x")).toBe(E.ENOTDIR);
  expect(client.errno("LOOKUP", 4_000_000, "x")).toBe(E.ESTALE);
  expect(client.errno("LOOKUP", 0, "x")).toBe(E.ESTALE);
});

test("names of 255 bytes and of any bytes but slash and NUL are found", () => {
  const odd = Buffer.from([0x01, 0x0a, 0x7f, 0x80, 0xff, 0x2e, 0x2e, 0x20]);
  for (const name of [Buffer.alloc(255, "n"), odd, Buffer.from("..."), Buffer.from(".a")]) {
    writeFileSync(Buffer.concat([Buffer.from(path("")), name]), "x");
    expect(entryOf(client.ok("LOOKUP", at, name)).size).toBe(1);
  }
});

test.each([
  ["a slash", "a/b"],
  ["a NUL", "a\0b"],
  ["no byte", ""],
  ["a dot", "."],
  ["two dots", ".."],
  ["256 bytes", "n".repeat(256)],
])("a name of %s ends the connection", (_, name) => {
  client.send(0, "LOOKUP", [at, name]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("MKDIR and MKNOD make what the caller's ids and umask say", () => {
  const made = entryOf(client.ok("MKDIR", at, "d", 0o777, 0o027, 1000, 1001, -1));
  expect(made).toMatchObject({ mode: 0o040750, uid: 1000, gid: 1001, nlink: 2 });
  expect(lstatSync(path("d"))).toMatchObject({ mode: 0o040750, uid: 1000, gid: 1001 });
  client.ok("MKNOD", at, "f", 0o100666, 0, 0o002, 1002, 1003, -1);
  expect(lstatSync(path("f"))).toMatchObject({ mode: 0o100664, uid: 1002, gid: 1003 });
  client.ok("MKNOD", at, "p", FileType.FIFO | 0o644, 0, 0, 0, 0, -1);
  expect(lstatSync(path("p")).isFIFO()).toBe(true);
  client.ok("MKNOD", at, "s", FileType.SOCKET | 0o600, 0, 0, 1000, 1000, -1);
  expect(lstatSync(path("s")).isSocket()).toBe(true);
  const device = entryOf(
    client.ok("MKNOD", at, "n", FileType.CHARACTER | 0o600, (1 << 20) | 3, 0, 0, 0, -1),
  );
  expect(device.rdev).toBe((1 << 20) | 3);
  expect(lstatSync(path("n"))).toMatchObject({ rdev: (1 << 8) | 3 });
  expect(client.errno("MKDIR", at, "d", 0o777, ...CALLER)).toBe(E.EEXIST);
});

test("device numbers of all 12 and 20 bits arrive", () => {
  const rdev = 0xfff_00000 + 0xfffff;
  const args = [at, "n", FileType.BLOCK | 0o600, rdev, 0, 0, 0, -1] as const;
  expect(entryOf(client.ok("MKNOD", ...args)).rdev).toBe(rdev);
});

test("a set-group-id directory hands its group down; only members keep the bit on files", () => {
  chownSync(dir, 0, 500);
  chmodSync(dir, 0o2777);
  client.ok("MKDIR", at, "d", 0o777, 0, 1000, 1000, -1);
  expect(lstatSync(path("d"))).toMatchObject({ mode: 0o042777, gid: 500 });
  client.ok("CREATE", at, "stranger", 3, 0o2755, 0, 1000, 1000, -1);
  expect(lstatSync(path("stranger"))).toMatchObject({ mode: 0o100755, gid: 500, uid: 1000 });
  client.ok("CREATE", at, "member", 3, 0o2755, 0, 1000, 1000, 500);
  expect(lstatSync(path("member"))).toMatchObject({ mode: 0o102755, gid: 500 });
  client.ok("CREATE", at, "stranger2", 3, 0o2755, 0, 1000, 1000, -1);
  expect(lstatSync(path("stranger2"))).toMatchObject({ mode: 0o100755 });
  client.ok("CREATE", at, "root", 3, 0o2755, 0, 0, 0, -1);
  expect(lstatSync(path("root"))).toMatchObject({ mode: 0o102755, gid: 500, uid: 0 });
});

test("the server makes things for a caller where the caller's own rights would not reach", () => {
  // The client's kernel has checked; it may know of capabilities that the server does not.
  chmodSync(dir, 0o700);
  client.ok("MKDIR", at, "d", 0o755, 0, 1000, 1000, -1);
  expect(lstatSync(path("d")).uid).toBe(1000);
});

test("a caller without an id ends the connection", () => {
  client.send(0, "MKDIR", [at, "d", 0o755, 0, 0xffff_ffff, 0, -1]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  expect(existsSync(path("d"))).toBe(false);
});

test("what the server does itself is not done as the caller before", () => {
  client.ok("MKDIR", at, "d", 0o755, 0o777, 1000, 1000, 77);
  client.ok("RENAME", at, "d", at, "e", 0);
  client.ok("MKDIR", at, "f", 0o755, 0, 0, 0, -1);
  expect(lstatSync(path("f"))).toMatchObject({ mode: 0o040755, uid: 0, gid: 0 });
});

test("SYMLINK keeps its target byte for byte; READLINK gives it back", () => {
  const target = `../${"x".repeat(4000)}/\u00e9`;
  const made = entryOf(client.ok("SYMLINK", at, "l", target, 1000, 1001, -1));
  expect(made.mode & FileType.MASK).toBe(FileType.SYMLINK);
  expect(lstatSync(path("l"))).toMatchObject({ uid: 1000, gid: 1001 });
  expect(readlinkSync(path("l"))).toBe(target);
  const read = client.call("READLINK", [made.node]);
  expect(read.errno).toBe(0);
  expect(String(read.payload)).toBe(target);
  expect(client.errno("SYMLINK", at, "l", "t", 0, 0, -1)).toBe(E.EEXIST);
  expect(client.errno("SYMLINK", at, "empty", "", 0, 0, -1)).toBe(E.ENOENT);
  expect(client.errno("READLINK", at)).toBe(E.ENOENT);
});

test("UNLINK and RMDIR remove, each its own kind", () => {
  writeFileSync(path("f"), "");
  mkdirSync(path("d/e"), { recursive: true });
  expect(client.errno("UNLINK", at, "d")).toBe(E.EISDIR);
  expect(client.errno("RMDIR", at, "f")).toBe(E.ENOTDIR);
  expect(client.errno("RMDIR", at, "d")).toBe(E.ENOTEMPTY);
  expect(client.errno("UNLINK", at, "none")).toBe(E.ENOENT);
  client.ok("UNLINK", at, "f");
  client.ok("RMDIR", look("d").node, "e");
  client.ok("RMDIR", at, "d");
  expect(existsSync(path("f")) || existsSync(path("d"))).toBe(false);
});

test("RENAME with each of its flags", () => {
  writeFileSync(path("a"), "a");
  writeFileSync(path("b"), "b");
  mkdirSync(path("d"));
  expect(client.errno("RENAME", at, "a", at, "b", Rename.NOREPLACE)).toBe(E.EEXIST);
  client.ok("RENAME", at, "a", at, "b", Rename.EXCHANGE);
  expect(readFileSync(path("a"), "utf8") + readFileSync(path("b"), "utf8")).toBe("ba");
  client.ok("RENAME", at, "a", look("d").node, "c", Rename.NOREPLACE);
  expect(readFileSync(path("d/c"), "utf8")).toBe("b");
  client.ok("RENAME", at, "b", at, "w", Rename.WHITEOUT);
  expect(lstatSync(path("b")).isCharacterDevice()).toBe(true);
  expect(client.errno("RENAME", at, "none", at, "x", 0)).toBe(E.ENOENT);
  expect(client.errno("RENAME", at, "d", look("d").node, "x", 0)).toBe(E.EINVAL);
  expect(client.errno("RENAME", at, "w", at, "x", 8)).toBe(E.EINVAL);
  expect(client.errno("RENAME", at, "w", at, "x", Rename.EXCHANGE | Rename.NOREPLACE)).toBe(
    E.EINVAL,
  );
});

test("a file that is replaced can be opened by who has found it, whoever else closes it", () => {
  for (const name of ["f", "g"]) writeFileSync(path(name), name);
  const { node } = look("f");
  const [handle] = client.ok("OPEN", node, OpenFlag.READ, 0) as [number];
  client.ok("RENAME", at, "g", at, "f", 0);
  client.oneway(Oneway.RELEASE, handle);
  expect(client.errno("OPEN", node, OpenFlag.READ, 0)).toBe(0);
});

test("a node is reached under its new name after the client renamed it", () => {
  writeFileSync(path("a"), "data");
  mkdirSync(path("d"));
  const { node } = look("a");
  client.ok("RENAME", at, "a", look("d").node, "b", 0);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
  expect(dataOf(node)).toBe("data");
});

test("both nodes are reached after the client exchanged them", () => {
  writeFileSync(path("a"), "one");
  writeFileSync(path("b"), "two!");
  const a = look("a").node;
  const b = look("b").node;
  client.ok("RENAME", at, "a", at, "b", Rename.EXCHANGE);
  expect(dataOf(a)).toBe("one");
  expect(dataOf(b)).toBe("two!");
});

test("after a rename on the HOST the old node is stale until it is looked up again", () => {
  writeFileSync(path("a"), "data");
  const { node } = look("a");
  renameSync(path("a"), path("b"));
  expect(client.errno("GETATTR", node, 0)).toBe(E.ESTALE);
  expect(client.errno("OPEN", node, 1, 0)).toBe(E.ESTALE);
  expect(look("b").node).toBe(node);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
});

test("a directory in use survives a rename on the HOST", () => {
  mkdirSync(path("d"));
  writeFileSync(path("d/f"), "data");
  const d = look("d").node;
  const f = look("f", d).node;
  renameSync(path("d"), path("e"));
  expect(client.errno("GETATTR", d, 0)).toBe(0);
  expect(client.errno("GETATTR", f, 0)).toBe(0);
  expect(look("f", d).node).toBe(f);
});

test("a file that was replaced on the HOST is another node; the old one is stale", () => {
  writeFileSync(path("a"), "old");
  const old = look("a").node;
  unlinkSync(path("a"));
  writeFileSync(path("a"), "new");
  expect(client.errno("GETATTR", old, 0)).toBe(E.ESTALE);
  expect(client.errno("OPEN", old, 1, 0)).toBe(E.ESTALE);
  expect(client.errno("SETATTR", old, 0, 1, 0o600, 0, 0, 0, 0, 0, 0, 0)).toBe(E.ESTALE);
  expect(look("a").node).not.toBe(old);
});

test("a node in place of which a directory stands is stale, not another kind of error", () => {
  mkdirSync(path("d"));
  const d = look("d").node;
  rmSync(path("d"), { recursive: true });
  writeFileSync(path("d"), "");
  expect(client.errno("READDIR", 1, d, 0, 4096, 0)).toBe(E.ESTALE);
});

test("LINK makes another name of the same inode", () => {
  writeFileSync(path("a"), "data");
  const { node } = look("a");
  const linked = entryOf(client.ok("LINK", node, at, "b"));
  expect(linked).toMatchObject({ node, nlink: 2 });
  expect(lstatSync(path("b")).ino).toBe(lstatSync(path("a")).ino);
  expect(client.errno("LINK", node, at, "b")).toBe(E.EEXIST);
  expect(client.errno("LINK", at, at, "c")).toBe(E.EPERM);
  expect(client.errno("LINK", 4_000_000, at, "c")).toBe(E.ESTALE);
  symlinkSync("nowhere", path("s"));
  client.ok("LINK", look("s").node, at, "t");
  expect(readlinkSync(path("t"))).toBe("nowhere");
});

test("a node whose last looked-up name is gone is reached by another one it was seen under", () => {
  writeFileSync(path("a"), "data");
  linkSync(path("a"), path("b"));
  const { node } = look("b");
  expect(look("a").node).toBe(node);
  client.ok("UNLINK", at, "a");
  expect(look("b").node).toBe(node);
  expect(client.errno("GETATTR", node, 0)).toBe(0);
});

test("sizes and times beyond what a number holds exactly are cut, not refused", async () => {
  const shm = await TestServer.start({ below: "/dev/shm" });
  writeFileSync(shm.path("f"), "");
  const set = Bun.spawnSync(["truncate", "-s", "9223372036854775807", shm.path("f")]);
  expect(set.exitCode).toBe(0);
  const touched = Bun.spawnSync(["touch", "-d", "@99999999999999999", shm.path("f")]);
  expect(touched.exitCode).toBe(0);
  const other = shm.client();
  const { size, mtime } = entryOf(other.ok("LOOKUP", 1, "f"));
  expect(Number(size)).toBe(Number.MAX_SAFE_INTEGER);
  expect(Number(mtime)).toBe(Number.MAX_SAFE_INTEGER);
  await shm.stop();
});
