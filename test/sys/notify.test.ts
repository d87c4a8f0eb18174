import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { E } from "../../src/sys/errno.ts";
import { allocate } from "../../src/sys/memory.ts";
import { notify } from "../../src/sys/notify.ts";
import { close } from "../../src/sys/open.ts";
import { recvFds } from "../../src/sys/scm.ts";
import { bindDatagram, receiveDatagram } from "./datagram.ts";
import { scratch } from "./support.ts";

const place = scratch();
const { path } = place;

test("a state reaches the socket at a path", () => {
  const fd = bindDatagram(path("notify"));
  expect(notify(path("notify"), "READY=1")).toBe(7);
  expect(receiveDatagram(fd)).toBe("READY=1");
  close(fd);
});

test("a state reaches an abstract name", () => {
  const fd = bindDatagram(`\0qtfs-notify-${process.pid}`);
  expect(notify(`@qtfs-notify-${process.pid}`, "STOPPING=1")).toBe(10);
  expect(receiveDatagram(fd)).toBe("STOPPING=1");
  close(fd);
});

test("descriptors go with it", () => {
  const fd = bindDatagram(path("store"));
  const kept = place.file("kept");
  expect(notify(path("store"), "FDSTORE=1", [kept])).toBe(9);
  const room = allocate(16);
  const { n, fds } = recvFds(fd, room.address, room.size, 2);
  expect(n).toBe(9);
  expect(fds.map((one) => readlinkSync(`/proc/self/fd/${one}`))).toEqual([path("kept")]);
  for (const one of [fd, kept, ...fds]) close(one);
});

test("where nobody listens there is an errno, and no exception", () => {
  expect(notify(path("nobody"), "READY=1")).toBe(-E.ENOENT);
  expect(notify("", "READY=1")).toBe(-E.EINVAL);
  expect(notify(`/${"x".repeat(120)}`, "READY=1")).toBe(-E.EINVAL);
});
