/** The handshake, ATTACH and what a client may attach to. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { Goodbye } from "../../src/wire/constants.ts";
import { Kind } from "../../src/wire/frame.ts";
import { SLOTS_MAX, VERSION_MAX } from "../../src/wire/limits.ts";
import { attributesOf, entryOf } from "../support/attributes.ts";
import { TestServer } from "../support/server.ts";

let server: TestServer;

beforeAll(async () => {
  server = await TestServer.start();
  mkdirSync(server.path("sub/deep"), { recursive: true });
  writeFileSync(server.path("file"), "data");
  mkdirSync(`${server.outside}/secret`);
  symlinkSync(server.outside, server.path("out"));
  symlinkSync("sub", server.path("in"));
});
afterEach(() => server.hangUp());
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

/** errno of attaching to `path` in a session of its own. */
function attach(path: string): number {
  const client = server.stranger();
  client.greet();
  return client.errno("ATTACH", path, 0, 0);
}

test("the server's HELLO says who it is and what it grants", () => {
  const client = server.stranger();
  client.greet({ capabilities: ["files", "poll", "levitation"] });
  expect(client.hello).toMatchObject({
    magic: "qtfs",
    version: VERSION_MAX,
    capabilities: ["files", "poll"],
    slots: SLOTS_MAX,
  });
  const facts = client.hello?.facts as Record<string, unknown>;
  expect(facts).toMatchObject({ arch: process.arch, pid: server.pid });
  expect(facts.pageSize).toBe(4096);
});

test("ATTACH answers with the root's entry and whether it is read-only", () => {
  const client = server.stranger();
  client.greet();
  const results = client.ok("ATTACH", server.share, 0, 0);
  expect(results[0]).toBe(0);
  const root = entryOf(results, 2);
  expect(root.node).toBe(1);
  expect(root.mode & 0o170000).toBe(0o040000);
  const readOnly = server.stranger();
  readOnly.greet();
  expect(readOnly.ok("ATTACH", server.readOnly, 0, 0)[0]).toBe(1);
});

test("a directory beneath an export is as good, also through a symbolic link inside", () => {
  expect(attach(server.path("sub/deep"))).toBe(0);
  expect(attach(server.path("in/deep"))).toBe(0);
  expect(attach(server.path("sub/../sub"))).toBe(0);
  expect(attach(`${server.share}/`)).toBe(0);
});

test("paths outside the exports are refused alike, whether or not they exist", () => {
  for (const path of [
    "/",
    "/etc",
    "/no-such-path",
    server.directory,
    server.outside,
    `${server.outside}/secret`,
    server.path(".."),
    server.path("../outside/secret"),
    server.path("../outside/none"),
    server.path("sub/../../outside"),
    `${server.path("out")}`,
    `${server.path("out")}/secret`,
    `${server.path("out")}/none`,
    `${server.share}-not`,
  ]) {
    expect([path, attach(path)]).toEqual([path, E.EACCES]);
  }
});

test("beneath an export the reason is told", () => {
  expect(attach(server.path("none"))).toBe(E.ENOENT);
  expect(attach(server.path("file"))).toBe(E.ENOTDIR);
  expect(attach(server.path("file/below"))).toBe(E.ENOTDIR);
  expect(attach("relative")).toBe(E.EINVAL);
  expect(attach("")).toBe(E.EINVAL);
  expect(attach(`${server.share}\0`)).toBe(E.EINVAL);
});

test("bytes that are not UTF-8 name no path", () => {
  const client = server.stranger();
  client.greet();
  const path = Buffer.concat([Buffer.from(`${server.share}/`), Buffer.from([0xff])]);
  expect(client.errno("ATTACH", path, 0, 0)).toBe(E.EINVAL);
});

test("an export is what its path names when a client attaches", async () => {
  const other = await TestServer.start();
  renameSync(other.share, `${other.directory}/moved`);
  mkdirSync(other.share);
  writeFileSync(`${other.share}/new`, "");
  expect(other.client().errno("LOOKUP", 1, "new")).toBe(0);
  const client = other.stranger();
  client.greet();
  expect(client.errno("ATTACH", `${other.directory}/moved`, 0, 0)).toBe(E.EACCES);
  rmSync(other.share, { recursive: true });
  expect(client.errno("ATTACH", other.share, 0, 0)).toBe(E.EACCES);
  await other.stop();
});

test("a session attaches once", () => {
  const client = server.client();
  client.send(0, "ATTACH", [server.share, 0, 0]);
  expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
});

test("PING answers before and after ATTACH", () => {
  const client = server.stranger();
  client.greet();
  expect(client.ok("PING")).toEqual([]);
  client.ok("ATTACH", server.share, 0, 0);
  expect(client.ok("PING")).toEqual([]);
});

test("nothing is served before HELLO", () => {
  const client = server.stranger();
  client.send(0, "ATTACH", [server.share, 0, 0]);
  expect(client.ended()).toEqual([Goodbye.PROTOCOL, "request before HELLO"]);
});

test("a second HELLO ends the connection", () => {
  const client = server.client();
  client.hello = undefined;
  client.greet();
  expect(client.hello).toBeUndefined();
  expect(client.goodbye).toEqual([Goodbye.PROTOCOL, "HELLO twice"]);
});

test("versions that do not meet are refused in one sentence", () => {
  const client = server.stranger();
  client.greet({ versions: [VERSION_MAX + 1, VERSION_MAX + 3] });
  expect(client.hello).toBeUndefined();
  expect(client.goodbye?.[0]).toBe(Goodbye.VERSION);
  expect(client.goodbye?.[1]).toContain("install the same release of qtfs on both sides");
});

test("requests before ATTACH end the connection", () => {
  const client = server.stranger();
  client.greet();
  client.send(0, "GETATTR", [1, 0]);
  expect(client.ended()).toEqual([Goodbye.PROTOCOL, "operation before ATTACH"]);
});

test("frames that are not for a server end the connection", () => {
  for (const kind of [Kind.REPLY, Kind.EVENT, Kind.STREAM]) {
    const client = server.client();
    client.frame(kind, [0]);
    expect(client.ended()?.[0]).toBe(Goodbye.PROTOCOL);
  }
});

test("GOODBYE from the client is obeyed at once", () => {
  const client = server.client();
  client.frame(Kind.GOODBYE, [Goodbye.DONE, "done"]);
  client.ended();
  expect(client.goodbye).toBeUndefined();
});

test("a read-only export makes nothing", () => {
  writeFileSync(`${server.readOnly}/file`, "data");
  chmodSync(`${server.readOnly}/file`, 0o644);
  const client = server.client(server.readOnly);
  const { root } = client;
  const { node } = entryOf(client.ok("LOOKUP", root, "file"));
  const caller = [0o022, 0, 0, -1] as const;
  expect(client.errno("MKDIR", root, "d", 0o755, ...caller)).toBe(E.EROFS);
  expect(client.errno("MKNOD", root, "n", 0o100644, 0, ...caller)).toBe(E.EROFS);
  expect(client.errno("SYMLINK", root, "s", "target", 0, 0, -1)).toBe(E.EROFS);
  expect(client.errno("CREATE", root, "c", 3, 0o644, ...caller)).toBe(E.EROFS);
  expect(client.errno("TMPFILE", root, 3, 0o644, ...caller)).toBe(E.EROFS);
  expect(client.errno("LINK", node, root, "l")).toBe(E.EROFS);
  expect(client.errno("UNLINK", root, "file")).toBe(E.EROFS);
  expect(client.errno("RMDIR", root, "file")).toBe(E.EROFS);
  expect(client.errno("RENAME", root, "file", root, "other", 0)).toBe(E.EROFS);
  expect(client.errno("SETATTR", node, 0, 1, 0o600, 0, 0, 0, 0, 0, 0, 0)).toBe(E.EROFS);
  expect(client.errno("OPEN", node, 2, 0)).toBe(E.EROFS);
  expect(client.errno("OPEN", node, 0x1 | 0x8, 0)).toBe(E.EROFS);
  expect(client.call("SETXATTR", [node, "user.a", 0, 1], Buffer.from("v")).errno).toBe(E.EROFS);
  expect(client.errno("REMOVEXATTR", node, "user.a")).toBe(E.EROFS);
  expect(client.errno("OPEN", node, 1, 0)).toBe(0);
  expect(attributesOf(client.ok("GETATTR", node, 0)).mode).toBe(0o100644);
  rmSync(`${server.readOnly}/file`);
});
