/** Names of sockets that are not where their names say. */
import { afterAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { isSocketPath, pathOfName, SocketNames } from "../../src/bridge/names.ts";
import { E } from "../../src/sys/errno.ts";
import { close } from "../../src/sys/open.ts";
import { unshareFs } from "../../src/sys/process.ts";
import { boundPath, unixSocket } from "../../src/sys/unixsocket.ts";
import { SocketType } from "../../src/wire/streams.ts";
import { ok } from "../sys/support.ts";

ok(unshareFs());
const names = new SocketNames();
const open: number[] = [];
afterAll(() => {
  for (const fd of open) close(fd);
});

function socket(): number {
  const fd = ok(unixSocket(SocketType.DGRAM));
  open.push(fd);
  return fd;
}

test("several sockets may have one name, and nothing is made there", () => {
  for (let i = 0; i < 3; i++) {
    const fd = socket();
    expect(names.bind(fd, "/run/of-nobody/deep/socket")).toBe(0);
    expect(boundPath(fd)).toBe("/run/of-nobody/deep/socket");
  }
  expect(names.bind(socket(), "/top")).toBe(0);
  expect(existsSync("/run/of-nobody")).toBe(false);
  expect(existsSync("/proc/self/status")).toBe(true);
});

test("what is no path of a socket is refused", () => {
  const refused = ["", "relative", "/", "/a//b", "/a/../b", "/./a", "/a/", `/${"x".repeat(107)}`];
  for (const path of refused) {
    expect(isSocketPath(path)).toBe(false);
    expect(names.bind(socket(), path)).toBe(-E.EINVAL);
  }
});

test("a name is a path or nothing", () => {
  expect(pathOfName(Buffer.from("/run/a\0"))).toBe("/run/a");
  expect(pathOfName(Buffer.from("/run/a"))).toBe("/run/a");
  expect(pathOfName(Buffer.from("\0abstract"))).toBe("");
  expect(pathOfName(Buffer.from("relative\0"))).toBe("");
  expect(pathOfName(new Uint8Array(0))).toBe("");
});
