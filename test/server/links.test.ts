/** Magic links of a procfs: which links are, where they lead, and who may be led there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { FileType, OpenFlag } from "../../src/wire/constants.ts";
import { Oneway } from "../../src/wire/ops.ts";
import { entryOf } from "../support/attributes.ts";
import type { RawClient } from "../support/client.ts";
import { TestServer } from "../support/server.ts";

const USER = 65_534;
let host: TestServer;
let client: RawClient;
/** A process of the HOST in the directory `outside`, with its file open as 7, a pipe as 8, a socket as 9. */
let process_: Bun.Subprocess;
let pid: number;

beforeAll(async () => {
  host = await TestServer.start({
    exports: [
      { path: "/proc", readOnly: false },
      { path: "/proc/sys", readOnly: false, magicLinks: false },
    ],
    prepare: ({ outside, share }) => {
      writeFileSync(`${outside}/file`, "from outside");
      mkdirSync(`${outside}/directory`);
      symlinkSync("file", `${share}/ordinary`);
    },
  });
  process_ = Bun.spawn(["bash", "-c", "exec 7<file 8< <(:); exec sleep inf"], {
    cwd: host.outside,
  });
  client = host.client("/proc");
  while (!readdirSync(`/proc/${process_.pid}/fd`).includes("8")) await Bun.sleep(10);
  pid = entryOf(client.ok("LOOKUP", 1, String(process_.pid))).node;
});
afterAll(async () => {
  process_.kill("SIGKILL");
  await process_.exited;
  await host.stop();
});

const look = (parent: number, name: string) => entryOf(client.ok("LOOKUP", parent, name));

function read(node: number): string {
  const [handle] = client.ok("OPEN", node, OpenFlag.READ, 0) as [number];
  const { payload } = client.call("READ", [handle, 0, 100]);
  client.oneway(Oneway.RELEASE, handle);
  return String(payload);
}

test("READLINK tells magic links from others, with whose they are", () => {
  const exe = client.call("READLINK", [look(pid, "exe").node]);
  expect([exe.results, String(exe.payload)]).toEqual([[1, 0, 0], "/usr/bin/sleep"]);
  const mounts = client.call("READLINK", [look(1, "mounts").node]);
  expect([mounts.results, String(mounts.payload)]).toEqual([[0, 0, 0], "self/mounts"]);
  const other = host.client();
  const { node } = entryOf(other.ok("LOOKUP", 1, "ordinary"));
  expect(other.ok("READLINK", node)).toEqual([0, 0, 0]);
  expect(other.errno("FOLLOW", node, 0, 0)).toBe(E.EACCES);
});

test("FOLLOW leads to the very inode, out of the export and on from there", () => {
  const cwd = entryOf(client.ok("FOLLOW", look(pid, "cwd").node, 0, 0));
  expect(cwd.mode & FileType.MASK).toBe(FileType.DIRECTORY);
  expect(read(look(cwd.node, "file").node)).toBe("from outside");
  const opened = entryOf(client.ok("FOLLOW", look(look(pid, "fd").node, "7").node, 0, 0));
  // The same inode, but each link's nodes are its own.
  const same = look(cwd.node, "file");
  expect([opened.ino, opened.node === same.node]).toEqual([same.ino, false]);
  const root = entryOf(client.ok("FOLLOW", look(pid, "root").node, 0, 0));
  expect(look(look(root.node, "usr").node, "bin").mode).toBe(statSync("/usr/bin").mode);
  const namespace = entryOf(client.ok("FOLLOW", look(look(pid, "ns").node, "net").node, 0, 0));
  expect(namespace.mode & FileType.MASK).toBe(FileType.REGULAR);
});

test("what is no magic link, or leads to nothing that can be opened here, is refused", () => {
  expect(client.errno("FOLLOW", look(1, "mounts").node, 0, 0)).toBe(E.EINVAL);
  expect(client.errno("FOLLOW", look(1, "version").node, 0, 0)).toBe(E.EINVAL);
  expect(client.errno("FOLLOW", 1, 0, 0)).toBe(E.ESTALE);
  expect(client.errno("FOLLOW", look(look(pid, "fd").node, "8").node, 0, 0)).toBe(E.ENXIO);
});

test("the way back into the export and out of it again never ends in a node twice", () => {
  let { node } = entryOf(client.ok("FOLLOW", look(pid, "root").node, 0, 0));
  const nodes = [1, pid];
  for (let i = 0; i < 3; i++) {
    const proc = look(node, "proc");
    const process = look(proc.node, String(process_.pid));
    nodes.push(node, proc.node, process.node);
    node = entryOf(client.ok("FOLLOW", look(process.node, "root").node, 0, 0)).node;
  }
  expect(new Set(nodes).size).toBe(nodes.length);
});

test("a user follows the links of its own processes alone", async () => {
  const cwd = look(pid, "cwd").node;
  expect(client.errno("FOLLOW", cwd, USER, USER)).toBe(E.EACCES);
  const own = Bun.spawn(["sleep", "inf"], { uid: USER, gid: USER, cwd: "/" });
  const theirs = look(look(1, String(own.pid)).node, "cwd").node;
  expect(client.errno("FOLLOW", theirs, USER, 0)).toBe(E.EACCES);
  expect(client.errno("FOLLOW", theirs, USER, USER)).toBe(0);
  own.kill("SIGKILL");
  await own.exited;
  expect(client.errno("FOLLOW", theirs, USER, USER)).toBe(E.ESTALE);
});

test("an export that is read only, of something else or told so lets nobody out", async () => {
  const other = await TestServer.start({ exports: [{ path: "/proc", readOnly: true }] });
  for (const [server, root] of [
    [other, "/proc"],
    [host, "/proc/sys"],
  ] as const) {
    const shut = server.client(root);
    // Any node will do: it is not looked at.
    expect(shut.errno("FOLLOW", 1, 0, 0)).toBe(E.EACCES);
  }
  await other.stop();
});

test("what a link led to is reached again when its descriptor was needed for others", () => {
  const cwd = entryOf(client.ok("FOLLOW", look(pid, "cwd").node, 0, 0)).node;
  expect(look(cwd, "directory").mode & FileType.MASK).toBe(FileType.DIRECTORY);
  // Through the link itself: procfs has no file handles, and the name is none of the export's.
  expect(client.ok("GETATTR", cwd, 0).length).toBeGreaterThan(0);
  expect(entryOf(client.ok("FOLLOW", look(pid, "cwd").node, 0, 0)).node).toBe(cwd);
});
